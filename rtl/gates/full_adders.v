// Map for Yosys: full adders stay whole, for the library has cells of them.

(* techmap_celltype = "$fa" *)
module _80_tritforge_full_adder (A, B, C, X, Y);
    parameter WIDTH = 1;

    (* force_downto *) input [WIDTH-1:0] A, B, C;
    (* force_downto *) output [WIDTH-1:0] X, Y;

    genvar i;
    generate
        for (i = 0; i < WIDTH; i = i + 1) begin : bits
            TRITFORGE_FA adder (.A(A[i]), .B(B[i]), .C(C[i]), .X(X[i]), .Y(Y[i]));
        end
    endgenerate
endmodule

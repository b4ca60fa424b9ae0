// Map for Yosys: sums as chains of full adders, one a bit, in the place of its parallel prefix adders. Wider sums than
// RIPPLE_BITS stay with those; the mapping defines it.

(* techmap_celltype = "$alu" *)
module _80_tritforge_ripple (A, B, CI, BI, X, Y, CO);
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;
    parameter A_WIDTH = 1;
    parameter B_WIDTH = 1;
    parameter Y_WIDTH = 1;

    wire _TECHMAP_FAIL_ = Y_WIDTH > `RIPPLE_BITS;

    (* force_downto *) input [A_WIDTH-1:0] A;
    (* force_downto *) input [B_WIDTH-1:0] B;
    input CI, BI;
    (* force_downto *) output [Y_WIDTH-1:0] X, Y, CO;

    (* force_downto *) wire [Y_WIDTH-1:0] a, b, inverted;
    wire [Y_WIDTH:0] carry;
    \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) extend_a (.A(A), .Y(a));
    \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) extend_b (.A(B), .Y(b));
    assign inverted = b ^ {Y_WIDTH{BI}};
    assign carry[0] = CI;
    assign X = a ^ inverted;
    assign CO = carry[Y_WIDTH:1];
    genvar i;
    generate
        for (i = 0; i < Y_WIDTH; i = i + 1) begin : bits
            \$fa #(.WIDTH(1)) adder (.A(a[i]), .B(inverted[i]), .C(carry[i]), .X(carry[i+1]), .Y(Y[i]));
        end
    endgenerate
endmodule

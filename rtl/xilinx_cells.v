// Simulation models of the AMD/Xilinx cells that TritForge instantiates; for simulators, not for synthesis.

// A LUT of six inputs whose lower half is an output of its own.
module LUT6_2 (
    input  I0, I1, I2, I3, I4, I5,
    output O5, O6
);
    parameter [63:0] INIT = 64'h0;

    wire [4:0] low = {I4, I3, I2, I1, I0};
    assign O5 = INIT[{1'b0, low}];
    assign O6 = INIT[{I5, low}];
endmodule

// Four bits of a carry chain: where S is 1 the carry goes on, else it is DI; O is S exclusive-or the carry in.
module CARRY4 (
    input        CI,
    input        CYINIT,
    input  [3:0] DI,
    input  [3:0] S,
    output [3:0] O,
    output [3:0] CO
);
    // The chain starts from one of the two; the other is 0.
    wire first = CI | CYINIT;
    wire second = S[0] ? first : DI[0];
    wire third = S[1] ? second : DI[1];
    wire fourth = S[2] ? third : DI[2];
    wire last = S[3] ? fourth : DI[3];
    assign O = S ^ {fourth, third, second, first};
    assign CO = {last, fourth, third, second};
endmodule

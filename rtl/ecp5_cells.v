// Simulation models of the ECP5 cells that TritForge instantiates; for simulators, not for synthesis.

// Two bits of a carry chain. S is the propagate LUT's output exclusive-or the carry, and the carry goes on where
// that LUT is 1, else comes from the generate LUT of A and B, which sees C and D low.
module CCU2C (
    input  CIN,
    input  A0, B0, C0, D0,
    input  A1, B1, C1, D1,
    output S0, S1,
    output COUT
);
    parameter [15:0] INIT0 = 16'h0000;
    parameter [15:0] INIT1 = 16'h0000;
    parameter INJECT1_0 = "NO";
    parameter INJECT1_1 = "NO";

    wire propagate0 = INIT0[{D0, C0, B0, A0}];
    wire propagate1 = INIT1[{D1, C1, B1, A1}];
    wire middle = propagate0 ? CIN : INIT0[{2'b00, B0, A0}];
    assign S0 = propagate0 ^ CIN;
    assign S1 = propagate1 ^ middle;
    assign COUT = propagate1 ? middle : INIT1[{2'b00, B1, A1}];
endmodule

// Test bench of the link top: its UART's pins, set and read by the driver.

module bench (
    input wire aclk /* verilator public_flat_rw */
);
    reg  reset_request /* verilator public_flat_rw */ = 1;
    reg  rx /* verilator public_flat_rw */ = 1;
    wire tx /* verilator public_flat_rw */;
    reg  reset = 1;

    // As long as the driver asks for, and then at an edge of the clock.
    always @(posedge aclk) reset <= reset_request;

    tritforge_link link (
        .clk(aclk),
        .rst(reset),
        .rx(rx),
        .tx(tx),
        .busy(),
        .active(),
        .damaged()
    );
endmodule

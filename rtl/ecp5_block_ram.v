// Simulation model of ECP5's block RAM, for simulators, not for synthesis: Yosys has none.
//
// Modelled are the modes that Yosys maps memories to (brams_16kd.txt), on whose promises its mapping relies, and the
// output register (REGMODE "OUTREG"). Any other mode ends the build, or the simulation where a signal decides.
//
// 2,048 bytes of 9 bits. A port of 9, 18 or 36 bits holds whole bytes; one of 1, 2 or 4 bits sees the low 8 bits of
// each. Bits of a read that the other port writes at the same time come as the complement of what was there: the
// memory promises nothing then, and no design may come to rely on it. For that the clocks of both ports count as one
// where both are high.

// What one port makes of its address and data pins. Four bytes, aligned, hold what any port reads or writes at once.
module tritforge_dp16kd_port #(
    parameter integer WIDTH = 18
) (
    input [13:0] address,
    input [35:0] pins,
    output [8:0] place,     // of the four bytes
    output [3:0] bytes,     // those that the address means, or enables, of a write
    output [35:0] mask,     // bits that a write changes
    output [35:0] data,     // bits of a write, in their places
    output [5:0] offset     // of the first bit that the port sees
);
    wire [1:0] first = WIDTH == 36 ? 2'd0 : WIDTH == 18 ? {address[4], 1'b0} : address[4:3];
    wire [2:0] rest = WIDTH == 1 ? address[2:0] : WIDTH == 2 ? {address[2:1], 1'b0}
                    : WIDTH == 4 ? {address[2], 2'b00} : 3'd0;
    wire [3:0] enables = WIDTH == 36 ? address[3:0] : WIDTH == 18 ? {2'b00, address[1:0]} : 4'd1;
    // Of a part of a byte its own bits, of bytes all.
    wire [35:0] changed = WIDTH < 9 ? (36'd1 << WIDTH) - 36'd1
                       : {{9{enables[3]}}, {9{enables[2]}}, {9{enables[1]}}, {9{enables[0]}}};

    assign place = address[13:5];
    assign bytes = enables << first;
    assign offset = 6'd9 * {4'd0, first} + {3'd0, rest};
    assign mask = changed << offset;
    assign data = pins << offset;
endmodule

module DP16KD (
    input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
          DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
    input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7,
          ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
    input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
    output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
           DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
    input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
          DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
    input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7,
          ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
    input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
    output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
           DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
    parameter integer DATA_WIDTH_A = 18;
    parameter integer DATA_WIDTH_B = 18;
    parameter [47:0] REGMODE_A = "NOREG";
    parameter [47:0] REGMODE_B = "NOREG";
    parameter RESETMODE = "SYNC";
    parameter ASYNC_RESET_RELEASE = "SYNC";
    parameter CSDECODE_A = "0b000";
    parameter CSDECODE_B = "0b000";
    parameter WRITEMODE_A = "NORMAL";
    parameter WRITEMODE_B = "NORMAL";
    parameter CLKAMUX = "CLKA";
    parameter CLKBMUX = "CLKB";
    // Without effect on what is modelled.
    parameter GSR = "ENABLED";
    parameter integer WID = 0;
    parameter INIT_DATA = "STATIC";
    // Sixteen pairs of bytes each, a pair in 20 bits.
    parameter [319:0] INITVAL_00 = 320'h0;
    parameter [319:0] INITVAL_01 = 320'h0;
    parameter [319:0] INITVAL_02 = 320'h0;
    parameter [319:0] INITVAL_03 = 320'h0;
    parameter [319:0] INITVAL_04 = 320'h0;
    parameter [319:0] INITVAL_05 = 320'h0;
    parameter [319:0] INITVAL_06 = 320'h0;
    parameter [319:0] INITVAL_07 = 320'h0;
    parameter [319:0] INITVAL_08 = 320'h0;
    parameter [319:0] INITVAL_09 = 320'h0;
    parameter [319:0] INITVAL_0A = 320'h0;
    parameter [319:0] INITVAL_0B = 320'h0;
    parameter [319:0] INITVAL_0C = 320'h0;
    parameter [319:0] INITVAL_0D = 320'h0;
    parameter [319:0] INITVAL_0E = 320'h0;
    parameter [319:0] INITVAL_0F = 320'h0;
    parameter [319:0] INITVAL_10 = 320'h0;
    parameter [319:0] INITVAL_11 = 320'h0;
    parameter [319:0] INITVAL_12 = 320'h0;
    parameter [319:0] INITVAL_13 = 320'h0;
    parameter [319:0] INITVAL_14 = 320'h0;
    parameter [319:0] INITVAL_15 = 320'h0;
    parameter [319:0] INITVAL_16 = 320'h0;
    parameter [319:0] INITVAL_17 = 320'h0;
    parameter [319:0] INITVAL_18 = 320'h0;
    parameter [319:0] INITVAL_19 = 320'h0;
    parameter [319:0] INITVAL_1A = 320'h0;
    parameter [319:0] INITVAL_1B = 320'h0;
    parameter [319:0] INITVAL_1C = 320'h0;
    parameter [319:0] INITVAL_1D = 320'h0;
    parameter [319:0] INITVAL_1E = 320'h0;
    parameter [319:0] INITVAL_1F = 320'h0;
    parameter [319:0] INITVAL_20 = 320'h0;
    parameter [319:0] INITVAL_21 = 320'h0;
    parameter [319:0] INITVAL_22 = 320'h0;
    parameter [319:0] INITVAL_23 = 320'h0;
    parameter [319:0] INITVAL_24 = 320'h0;
    parameter [319:0] INITVAL_25 = 320'h0;
    parameter [319:0] INITVAL_26 = 320'h0;
    parameter [319:0] INITVAL_27 = 320'h0;
    parameter [319:0] INITVAL_28 = 320'h0;
    parameter [319:0] INITVAL_29 = 320'h0;
    parameter [319:0] INITVAL_2A = 320'h0;
    parameter [319:0] INITVAL_2B = 320'h0;
    parameter [319:0] INITVAL_2C = 320'h0;
    parameter [319:0] INITVAL_2D = 320'h0;
    parameter [319:0] INITVAL_2E = 320'h0;
    parameter [319:0] INITVAL_2F = 320'h0;
    parameter [319:0] INITVAL_30 = 320'h0;
    parameter [319:0] INITVAL_31 = 320'h0;
    parameter [319:0] INITVAL_32 = 320'h0;
    parameter [319:0] INITVAL_33 = 320'h0;
    parameter [319:0] INITVAL_34 = 320'h0;
    parameter [319:0] INITVAL_35 = 320'h0;
    parameter [319:0] INITVAL_36 = 320'h0;
    parameter [319:0] INITVAL_37 = 320'h0;
    parameter [319:0] INITVAL_38 = 320'h0;
    parameter [319:0] INITVAL_39 = 320'h0;
    parameter [319:0] INITVAL_3A = 320'h0;
    parameter [319:0] INITVAL_3B = 320'h0;
    parameter [319:0] INITVAL_3C = 320'h0;
    parameter [319:0] INITVAL_3D = 320'h0;
    parameter [319:0] INITVAL_3E = 320'h0;
    parameter [319:0] INITVAL_3F = 320'h0;

    generate
        if (!(DATA_WIDTH_A inside {1, 2, 4, 9, 18, 36}) || !(DATA_WIDTH_B inside {1, 2, 4, 9, 18, 36}))
            $error("DP16KD: widths %0d and %0d are not modelled", DATA_WIDTH_A, DATA_WIDTH_B);
        if (!(REGMODE_A inside {"NOREG", "OUTREG"}) || !(REGMODE_B inside {"NOREG", "OUTREG"}))
            $error("DP16KD: REGMODE %s and %s are not modelled", REGMODE_A, REGMODE_B);
        if (!(WRITEMODE_A inside {"NORMAL", "WRITETHROUGH", "READBEFOREWRITE"})
            || !(WRITEMODE_B inside {"NORMAL", "WRITETHROUGH", "READBEFOREWRITE"}))
            $error("DP16KD: WRITEMODE %s and %s are not modelled", WRITEMODE_A, WRITEMODE_B);
        if (!(RESETMODE inside {"SYNC", "ASYNC"}) || ASYNC_RESET_RELEASE != RESETMODE)
            $error("DP16KD: RESETMODE %s with release %s is not modelled", RESETMODE, ASYNC_RESET_RELEASE);
        if (!(CLKAMUX inside {"CLKA", "INV"}) || !(CLKBMUX inside {"CLKB", "INV"}))
            $error("DP16KD: clocks %s and %s are not modelled", CLKAMUX, CLKBMUX);
        if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000")
            $error("DP16KD: CSDECODE %s and %s are not modelled", CSDECODE_A, CSDECODE_B);
    endgenerate

    wire [17:0] pins_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9,
                          DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
    wire [17:0] pins_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9,
                          DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
    wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7,
                             ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7,
                             ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire clock_a = CLKAMUX == "INV" ? ~CLKA : CLKA;
    wire clock_b = CLKBMUX == "INV" ? ~CLKB : CLKB;
    wire enable_a = CEA & ~(CSA2 | CSA1 | CSA0);
    wire enable_b = CEB & ~(CSB2 | CSB1 | CSB0);
    // A synchronous reset holds its port's writes up.
    wire write_a = enable_a & WEA & ~(RESETMODE == "SYNC" & RSTA);
    wire write_b = enable_b & WEB & ~(RESETMODE == "SYNC" & RSTB);

    wire [8:0] place_a, place_b;
    wire [3:0] bytes_a, bytes_b;
    wire [35:0] mask_a, mask_b, data_a, data_b;
    wire [5:0] offset_a, offset_b;
    // 36 bits take the data pins of both ports.
    tritforge_dp16kd_port #(.WIDTH(DATA_WIDTH_A)) port_a (
        .address(address_a), .pins(DATA_WIDTH_A == 36 ? {pins_b, pins_a} : {18'd0, pins_a}),
        .place(place_a), .bytes(bytes_a), .mask(mask_a), .data(data_a), .offset(offset_a)
    );
    tritforge_dp16kd_port #(.WIDTH(DATA_WIDTH_B)) port_b (
        .address(address_b), .pins({18'd0, pins_b}),
        .place(place_b), .bytes(bytes_b), .mask(mask_b), .data(data_b), .offset(offset_b)
    );

    reg [8:0] memory [0:2047];
    reg [64*320-1:0] contents;
    integer index;
    initial begin
        contents = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
        INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
        INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
        INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
        INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
        INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
        INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
        };
        for (index = 0; index < 1024; index = index + 1) begin
            memory[2*index] = contents[20*index +: 9];
            memory[2*index + 1] = contents[20*index + 9 +: 9];
        end
    end

    wire [35:0] old_a = {memory[{place_a, 2'd3}], memory[{place_a, 2'd2}],
                         memory[{place_a, 2'd1}], memory[{place_a, 2'd0}]};
    wire [35:0] old_b = {memory[{place_b, 2'd3}], memory[{place_b, 2'd2}],
                         memory[{place_b, 2'd1}], memory[{place_b, 2'd0}]};
    wire [35:0] new_a = old_a & ~mask_a | data_a & mask_a;
    wire [35:0] new_b = old_b & ~mask_b | data_b & mask_b;

    wire meets = clock_a & clock_b & place_a == place_b;
    wire [35:0] clash_a = mask_b & {36{meets & write_b}};
    wire [35:0] clash_b = mask_a & {36{meets & write_a}};
    wire [35:0] seen_a = (WRITEMODE_A == "WRITETHROUGH" && WEA ? new_a : old_a) ^ clash_a;
    wire [35:0] seen_b = (WRITEMODE_B == "WRITETHROUGH" && WEB ? new_b : old_b) ^ clash_b;
    reg [35:0] read_a = 0, read_b = 0;

    always @(posedge clock_a) begin
        if (write_a & bytes_a[0]) memory[{place_a, 2'd0}] <= new_a[8:0];
        if (write_a & bytes_a[1]) memory[{place_a, 2'd1}] <= new_a[17:9];
        if (write_a & bytes_a[2]) memory[{place_a, 2'd2}] <= new_a[26:18];
        if (write_a & bytes_a[3]) memory[{place_a, 2'd3}] <= new_a[35:27];
    end
    always @(posedge clock_b) begin
        if (write_b & bytes_b[0]) memory[{place_b, 2'd0}] <= new_b[8:0];
        if (write_b & bytes_b[1]) memory[{place_b, 2'd1}] <= new_b[17:9];
        if (write_b & bytes_b[2]) memory[{place_b, 2'd2}] <= new_b[26:18];
        if (write_b & bytes_b[3]) memory[{place_b, 2'd3}] <= new_b[35:27];
    end

    generate
        if (RESETMODE == "SYNC") begin : synchronous
            always @(posedge clock_a)
                if (RSTA) read_a <= 0;
                else if (enable_a && (!WEA || WRITEMODE_A != "NORMAL")) read_a <= seen_a >> offset_a;
            always @(posedge clock_b)
                if (RSTB) read_b <= 0;
                else if (enable_b && (!WEB || WRITEMODE_B != "NORMAL")) read_b <= seen_b >> offset_b;
        end else begin : asynchronous
            always @(posedge clock_a, posedge RSTA)
                if (RSTA) read_a <= 0;
                else if (enable_a && (!WEA || WRITEMODE_A != "NORMAL")) read_a <= seen_a >> offset_a;
            always @(posedge clock_b, posedge RSTB)
                if (RSTB) read_b <= 0;
                else if (enable_b && (!WEB || WRITEMODE_B != "NORMAL")) read_b <= seen_b >> offset_b;
        end
    endgenerate

    reg [35:0] register_a = 0, register_b = 0;
    always @(posedge clock_a) if (OCEA) register_a <= read_a;
    always @(posedge clock_b) if (OCEB) register_b <= read_b;
    wire [35:0] out_a = REGMODE_A == "OUTREG" ? register_a : read_a;
    wire [35:0] out_b = REGMODE_B == "OUTREG" ? register_b : read_b;
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9,
            DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} = DATA_WIDTH_B == 36 ? out_b[17:0] : out_a[17:0];
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9,
            DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} = DATA_WIDTH_B == 36 ? out_b[35:18] : out_b[17:0];

    always @(posedge clock_a)
        if (REGMODE_A == "OUTREG" && RSTA) $fatal(1, "DP16KD: reset of the output register is not modelled");
    always @(posedge clock_b) begin
        if (REGMODE_B == "OUTREG" && RSTB) $fatal(1, "DP16KD: reset of the output register is not modelled");
        if ((DATA_WIDTH_A == 36 || DATA_WIDTH_B == 36) && write_b)
            $fatal(1, "DP16KD: port B writes beside a port of 36 bits, which takes its pins; that is not modelled");
    end
endmodule

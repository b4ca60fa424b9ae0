// Rules of AXI4 that a master must keep, watched in every cycle; `broken` keeps a bit for each kind of breach.

// A channel: once valid, it stays valid and keeps its payload until it is taken; in reset nothing is valid.
module axi_stable #(
    parameter WIDTH = 1
) (
    input wire             aclk,
    input wire             aresetn,
    input wire             valid,
    input wire             ready,
    input wire [WIDTH-1:0] payload,
    output reg [31:0]      taken,
    output reg             broken
);
    reg             waiting = 0;
    reg             released = 0;
    reg [WIDTH-1:0] held;

    initial {taken, broken} = 0;
    always @(posedge aclk) begin
        released <= aresetn;
        waiting <= aresetn && valid && !ready;
        held <= payload;
        if (aresetn && valid && ready) taken <= taken + 1;
        if (aresetn && waiting && (!valid || payload !== held)) broken <= 1;
        // The cycle in which reset is released shows what reset left.
        if (aresetn && !released && valid) broken <= 1;
    end
endmodule

// Addresses of bursts: INCR, whole beats, aligned, no longer than agreed, inside 4 KiB, so many under way at most.
module axi_bursts #(
    parameter ADDRESS_BITS = 32,
    parameter BEAT_BYTES = 4,
    parameter BURST_BEATS = 256,
    parameter OUTSTANDING = 16
) (
    input wire                    aclk,
    input wire                    aresetn,
    input wire                    valid,
    input wire                    ready,
    input wire [ADDRESS_BITS-1:0] address,
    input wire [7:0]              length,
    input wire [2:0]              size,
    input wire [1:0]              burst,
    input wire                    answered,
    output reg [31:0]             most,
    output reg [3:0]              broken
);
    integer under_way = 0;
    wire [12:0] first = {1'b0, address[11:0]};
    wire [31:0] bytes = (32'(length) + 1) * BEAT_BYTES;

    initial {most, broken} = 0;
    always @(posedge aclk) begin
        if (!aresetn) under_way = 0;
        else begin
            if (valid && ready) begin
                if (burst != 2'b01 || (1 << size) != BEAT_BYTES || 32'(address) % BEAT_BYTES != 0) broken[0] <= 1;
                if (32'(length) + 1 > BURST_BEATS) broken[1] <= 1;
                if (32'(first) + bytes > 4096) broken[2] <= 1;
                under_way = under_way + 1;
            end
            if (answered) under_way = under_way - 1;
            if (under_way < 0 || under_way > OUTSTANDING) broken[3] <= 1;
            if (under_way > 32'(most)) most <= under_way;
        end
    end
endmodule

// Write data: as many beats to each burst as its address says, the last one marked, every byte strobe sensible.
module axi_write_beats (
    input wire       aclk,
    input wire       aresetn,
    input wire       address_taken,
    input wire [7:0] length,
    input wire       beat_taken,
    input wire       last,
    output reg       broken
);
    integer lengths[$];
    // Beats may come before their address: they are checked when it comes.
    integer beats[$];
    integer count = 0;

    initial broken = 0;
    always @(posedge aclk) begin
        if (!aresetn) begin
            lengths.delete();
            beats.delete();
            count = 0;
        end else begin
            if (address_taken) lengths.push_back(32'(length) + 1);
            if (beat_taken) begin
                count = count + 1;
                if (last) begin
                    beats.push_back(count);
                    count = 0;
                end
            end
            if (lengths.size() != 0 && beats.size() != 0)
                if (lengths.pop_front() != beats.pop_front()) broken <= 1;
            if (lengths.size() != 0 && count >= lengths[0] && beats.size() == 0) broken <= 1;
        end
    end
endmodule

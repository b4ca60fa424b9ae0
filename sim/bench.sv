// Test bench of a core: streams from and to files, so that memory and clock stay outside Python.
//
// A batch of jobs is started by raising `go`. The bench then offers the jobs, activations and weights of the files
// in `+dir=` as fast as the core takes them, or with random pauses, and writes the result words; `done` rises with
// the last result, or when the watchdog has counted `cycle_limit` cycles.
//
//   jobs.txt         the number of jobs, then a line per job: M K T, its byte of flags and the number N of its image
//   activations.bin  beats of all jobs, one behind the other
//   weights<N>.bin   beats of the weight images
//   columns<N>.bin   beats of the column images of sparse jobs (with `COLUMNS`)
//   partials.bin     beats of partial sums of all jobs that accumulate (with `PARTIALS`); missing when none does
//   results.bin      32-bit words of all jobs
//   timeline.txt     "start C" and "end C": cycles in which a job was taken and its last beat left
//
// `tritforge.sim.streams` holds the same pause generators for the cycle model.

module bench #(
    parameter ACT_BITS = 64,
    parameter WEIGHT_BITS = 128,
    parameter RESULT_BITS = 64,
    parameter JOB_BITS = 64,
    parameter COLUMN_BEATS = 1,
    parameter COLUMN_PLACES = 16
) (
    input wire aclk /* verilator public_flat_rw */
);
    // Set and read by the driver.
    reg         go /* verilator public_flat_rw */ = 0;
    reg         done /* verilator public_flat_rw */ = 0;
    reg         timed_out /* verilator public_flat_rw */ = 0;
    reg [31:0]  cycle_limit /* verilator public_flat_rw */ = 0;
    reg [31:0]  stall_seed /* verilator public_flat_rw */ = 1;
    // Share of cycles in which a stream pauses, in 1/256: jobs, activations, weights, results, partial sums,
    // column requests, columns.
    reg [55:0]  stall /* verilator public_flat_rw */ = 0;
    // Cycles from a column's request to its first beat.
    reg [31:0]  latency /* verilator public_flat_rw */ = 1;
    reg [31:0]  cycle /* verilator public_flat_rw */ = 0;
    reg [1:0]   error_seen /* verilator public_flat_rw */ = 0;
    reg         reset_request /* verilator public_flat_rw */ = 1;

    reg                     aresetn = 0;
    reg                     job_valid = 0;
    wire                    job_ready;
    reg [JOB_BITS-1:0]      job_data = 0;
    reg                     act_valid = 0;
    wire                    act_ready;
    reg [ACT_BITS-1:0]      act_data = 0;
    reg                     weight_valid = 0;
    wire                    weight_ready;
    reg [WEIGHT_BITS-1:0]   weight_data = 0;
    reg                     partial_valid = 0;
    wire                    partial_ready;
    reg [RESULT_BITS-1:0]   partial_data = 0;
    wire                    request_valid;
    reg                     request_ready = 0;
    wire [31:0]             request_data;
    wire                    request_last;
    reg                     column_valid = 0;
    wire                    column_ready;
    reg [WEIGHT_BITS-1:0]   column_data = 0;
    wire                    result_valid;
    reg                     result_ready = 0;
    wire [RESULT_BITS-1:0]  result_data;
    wire [RESULT_BITS/8-1:0] result_keep;
    wire                    result_last;
    wire                    busy;
    wire [1:0]              error;

    tritforge_core dut (
        .aclk(aclk),
        .aresetn(aresetn),
        .s_axis_job_tvalid(job_valid),
        .s_axis_job_tready(job_ready),
        .s_axis_job_tdata(job_data),
        .s_axis_activations_tvalid(act_valid),
        .s_axis_activations_tready(act_ready),
        .s_axis_activations_tdata(act_data),
        .s_axis_weights_tvalid(weight_valid),
        .s_axis_weights_tready(weight_ready),
        .s_axis_weights_tdata(weight_data),
`ifdef PARTIALS
        .s_axis_partials_tvalid(partial_valid),
        .s_axis_partials_tready(partial_ready),
        .s_axis_partials_tdata(partial_data),
`endif
`ifdef COLUMNS
        .m_axis_column_requests_tvalid(request_valid),
        .m_axis_column_requests_tready(request_ready),
        .m_axis_column_requests_tdata(request_data),
        .m_axis_column_requests_tlast(request_last),
        .s_axis_columns_tvalid(column_valid),
        .s_axis_columns_tready(column_ready),
        .s_axis_columns_tdata(column_data),
`endif
        .m_axis_results_tvalid(result_valid),
        .m_axis_results_tready(result_ready),
        .m_axis_results_tdata(result_data),
        .m_axis_results_tkeep(result_keep),
        .m_axis_results_tlast(result_last),
        .busy(busy),
        .error(error)
    );

`ifndef PARTIALS
    assign partial_ready = 0;
`endif
`ifndef COLUMNS
    assign request_valid = 0;
    assign request_data = 0;
    assign request_last = 0;
    assign column_ready = 0;
`endif

    string  dir;
    integer job_file = 0, act_file = 0, weight_file = 0, partial_file = 0, result_file = 0, timeline = 0;
    integer jobs_left, results_left, status;
    integer images[$], column_images[$];
    // The column image of the job at hand, and all that are open.
    integer column_file = 0, open_columns[$];
    // Requests under way, and for each that waits its cycle, its file and its place there.
    integer under_way = 0, beats_left = 0, asked_cycle[$], asked_file[$], asked_place[$];
    integer serving = 0;
    reg     column_ends = 0;
    reg [31:0] next_m, next_k, next_t, next_flags, next_image;
    reg running = 0;
    // Nothing is left in a file.
    reg acts_end = 0, partials_end = 0;

    // One xorshift generator a stream; a stream pauses when its low byte is under its share.
    reg [31:0] random [0:6];
    function automatic [31:0] xorshift(input [31:0] x);
        x = x ^ (x << 13);
        x = x ^ (x >> 17);
        xorshift = x ^ (x << 5);
    endfunction
    function automatic pause(input integer which);
        pause = random[which][7:0] < stall[8*which +: 8];
    endfunction

    // Files hold the lowest byte first, $fread fills the highest first.
    function automatic [ACT_BITS-1:0] swap_act(input [ACT_BITS-1:0] x);
        for (int i = 0; i < ACT_BITS / 8; i++) swap_act[8*i +: 8] = x[ACT_BITS - 8 - 8*i +: 8];
    endfunction
    function automatic [WEIGHT_BITS-1:0] swap_weight(input [WEIGHT_BITS-1:0] x);
        for (int i = 0; i < WEIGHT_BITS / 8; i++) swap_weight[8*i +: 8] = x[WEIGHT_BITS - 8 - 8*i +: 8];
    endfunction

    function automatic [RESULT_BITS-1:0] swap_partial(input [RESULT_BITS-1:0] x);
        for (int i = 0; i < RESULT_BITS / 8; i++) swap_partial[8*i +: 8] = x[RESULT_BITS - 8 - 8*i +: 8];
    endfunction

    reg [ACT_BITS-1:0]    act_beat;
    reg [RESULT_BITS-1:0] partial_beat;
    reg [WEIGHT_BITS-1:0] weight_beat, column_beat;

    task automatic close_all;
        $fclose(job_file);
        $fclose(act_file);
        if (partial_file != 0) $fclose(partial_file);
        $fclose(result_file);
        $fclose(timeline);
        if (weight_file != 0) $fclose(weight_file);
        weight_file = 0;
        images.delete();
        while (open_columns.size() != 0) $fclose(open_columns.pop_front());
        column_images.delete();
        asked_cycle.delete();
        asked_file.delete();
        asked_place.delete();
        column_file = 0;
        under_way = 0;
        beats_left = 0;
    endtask

    always @(posedge aclk) begin
        aresetn <= ~reset_request;
        cycle <= cycle + 1;
        if (stall != 0) for (int i = 0; i < 7; i++) random[i] = xorshift(random[i]);
        if (error != 0) error_seen <= error;

        if (!running) begin
            job_valid <= 0;
            act_valid <= 0;
            weight_valid <= 0;
            partial_valid <= 0;
            request_ready <= 0;
            column_valid <= 0;
            result_ready <= 0;
            if (go && !done && aresetn) begin
                running <= 1;
                cycle <= 0;
                error_seen <= 0;
                timed_out <= 0;
                for (int i = 0; i < 7; i++) random[i] = (stall_seed + 1) * 32'h9E3779B9 ^ (32'h85EBCA6B * (i + 1));
                status = $value$plusargs("dir=%s", dir);
                job_file = $fopen({dir, "/jobs.txt"}, "r");
                act_file = $fopen({dir, "/activations.bin"}, "rb");
                partial_file = $fopen({dir, "/partials.bin"}, "rb");
                result_file = $fopen({dir, "/results.bin"}, "wb");
                timeline = $fopen({dir, "/timeline.txt"}, "w");
                status = $fscanf(job_file, "%d", jobs_left);
                results_left = jobs_left;
                acts_end = act_file == 0;
                partials_end = partial_file == 0;
            end
            if (!go) done <= 0;
        end else begin
            // Jobs.
            if (job_valid && job_ready) $fwrite(timeline, "start %0d\n", cycle);
            if (!job_valid || job_ready) begin
                job_valid <= 0;
                if (jobs_left != 0 && !pause(0)) begin
                    status = $fscanf(job_file, "%d %d %d %d %d", next_m, next_k, next_t, next_flags, next_image);
                    job_data <= JOB_BITS'({next_flags[7:0], next_t[15:0], next_k[15:0], next_m});
                    job_valid <= 1;
                    if (next_flags[1]) column_images.push_back(next_image);
                    else images.push_back(next_image);
                    jobs_left = jobs_left - 1;
                end
            end
            // Activations.
            if (!act_valid || act_ready) begin
                act_valid <= 0;
                if (!pause(1) && !acts_end) begin
                    acts_end = $fread(act_beat, act_file) != ACT_BITS / 8;
                    act_data <= swap_act(act_beat);
                    act_valid <= !acts_end;
                end
            end
            // Weights: the image of the job at hand, then that of the next one.
            if (!weight_valid || weight_ready) begin
                weight_valid <= 0;
                if (!pause(2)) begin
                    status = 0;
                    if (weight_file != 0) begin
                        status = $fread(weight_beat, weight_file);
                        if (status != WEIGHT_BITS / 8) begin
                            $fclose(weight_file);
                            weight_file = 0;
                            status = 0;
                        end
                    end
                    if (weight_file == 0 && images.size() != 0) begin
                        weight_file = $fopen($sformatf("%s/weights%0d.bin", dir, images.pop_front()), "rb");
                        status = $fread(weight_beat, weight_file);
                    end
                    if (status == WEIGHT_BITS / 8) begin
                        weight_data <= swap_weight(weight_beat);
                        weight_valid <= 1;
                    end
                end
            end
            // Partial sums.
            if (!partial_valid || partial_ready) begin
                partial_valid <= 0;
                if (!pause(4) && !partials_end) begin
                    partials_end = $fread(partial_beat, partial_file) != RESULT_BITS / 8;
                    partial_data <= swap_partial(partial_beat);
                    partial_valid <= !partials_end;
                end
            end
            // Columns: requests are taken while there are places, and answered in order.
            if (column_valid && column_ready && column_ends) under_way = under_way - 1;
            if (request_valid && request_ready) begin
                if (column_file == 0) begin
                    column_file = $fopen($sformatf("%s/columns%0d.bin", dir, column_images.pop_front()), "rb");
                    open_columns.push_back(column_file);
                end
                asked_cycle.push_back(cycle);
                asked_file.push_back(column_file);
                asked_place.push_back(request_data * (COLUMN_BEATS * WEIGHT_BITS / 8));
                under_way = under_way + 1;
                if (request_last) column_file = 0;
            end
            request_ready <= under_way < COLUMN_PLACES && !pause(5);
            if (!column_valid || column_ready) begin
                column_valid <= 0;
                if (!pause(6) && (beats_left != 0 ||
                                  (asked_cycle.size() != 0 && asked_cycle[0] + latency - 1 <= cycle))) begin
                    if (beats_left == 0) begin
                        status = asked_cycle.pop_front();
                        serving = asked_file.pop_front();
                        status = $fseek(serving, asked_place.pop_front(), 0);
                        beats_left = COLUMN_BEATS;
                    end
                    status = $fread(column_beat, serving);
                    if (status == WEIGHT_BITS / 8) begin
                        beats_left = beats_left - 1;
                        column_data <= swap_weight(column_beat);
                        column_ends <= beats_left == 0;
                        column_valid <= 1;
                    end
                end
            end
            // Results.
            result_ready <= !pause(3);
            if (result_valid && result_ready) begin
                for (int i = 0; i < RESULT_BITS / 32; i++)
                    if (result_keep[4*i]) $fwrite(result_file, "%u", result_data[32*i +: 32]);
                if (result_last) begin
                    $fwrite(timeline, "end %0d\n", cycle);
                    results_left = results_left - 1;
                end
            end
            if (results_left == 0 || cycle >= cycle_limit) begin
                timed_out <= results_left != 0;
                running <= 0;
                done <= 1;
                close_all();
            end
        end
    end
endmodule

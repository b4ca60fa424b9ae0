/* How a program drives a TritForge accelerator: identify it, check that it is the one that the header was generated
 * for, start a job, wait for it, read how it ended.
 *
 *     cc -std=c11 -Wall -Wextra -Werror -I. tritforge_example.c -o example
 *     ./example /dev/uio0 WEIGHTS_ADDRESS M K T
 *
 * The functions need no more than a pointer to the mapped page of registers. `main` maps it from a Linux UIO device
 * and waits for its interrupt; on a bare system, hand the page's address to `struct tritforge` and leave `wait` NULL
 * to poll, or let it sleep until the interrupt. Data caches must not hold weights, activations or results back: the
 * accelerator reads and writes memory itself.
 */
#define _DEFAULT_SOURCE
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tritforge_regs.h"

/* A simulated accelerator has functions in the place of these two. */
#ifndef TRITFORGE_READ
#define TRITFORGE_READ(page, offset) (((volatile uint32_t *)(page))[(offset) / 4u])
#define TRITFORGE_WRITE(page, offset, value) (((volatile uint32_t *)(page))[(offset) / 4u] = (value))
#endif

struct tritforge {
    void *page;                   /* the page of registers */
    int (*wait)(void *argument);  /* returns after an interrupt, 0 if all is well; NULL to poll */
    void *argument;
};

struct tritforge_job {
    uint32_t m, k, tokens, flags; /* M output rows, K inputs, T tokens */
    uint64_t weights;             /* byte address of the weight image */
    uint64_t results;             /* byte address of Y, where results go to memory or a store */
    uint32_t stride;              /* bytes from one token's row of Y[T, M] to the next, where they go to memory */
};

/* Returns 0 if the page is that of the accelerator that the header describes. */
int tritforge_identify(const struct tritforge *device)
{
    static const struct {
        const char *name;
        uint32_t offset, value;
    } constants[] = {
        {"ID", TRITFORGE_ID_OFFSET, TRITFORGE_ID_VALUE},
        {"VERSION", TRITFORGE_VERSION_OFFSET, TRITFORGE_VERSION_VALUE},
        {"ARRAY", TRITFORGE_ARRAY_OFFSET, TRITFORGE_ARRAY_VALUE},
        {"TOKENS", TRITFORGE_TOKENS_OFFSET, TRITFORGE_TOKENS_VALUE},
        {"K_MAX", TRITFORGE_K_MAX_OFFSET, TRITFORGE_K_MAX_VALUE},
        {"M_MAX", TRITFORGE_M_MAX_OFFSET, TRITFORGE_M_MAX_VALUE},
        {"INPUT_PORTS", TRITFORGE_INPUT_PORTS_OFFSET, TRITFORGE_INPUT_PORTS_VALUE},
        {"OUTPUT_PORT", TRITFORGE_OUTPUT_PORT_OFFSET, TRITFORGE_OUTPUT_PORT_VALUE},
        {"FEATURES", TRITFORGE_FEATURES_OFFSET, TRITFORGE_FEATURES_VALUE},
        {"QUEUE", TRITFORGE_QUEUE_OFFSET, TRITFORGE_QUEUE_VALUE},
    };

    for (size_t index = 0; index < sizeof constants / sizeof constants[0]; index++) {
        uint32_t word = TRITFORGE_READ(device->page, constants[index].offset);
        if (word != constants[index].value) {
            fprintf(stderr, "%s reads 0x%08" PRIx32 ", the header has 0x%08" PRIx32 "\n", constants[index].name,
                    word, constants[index].value);
            return -1;
        }
    }
    return 0;
}

/* Clears what was left of earlier errors and interrupts, and raises the interrupt at each completed job. */
void tritforge_prepare(const struct tritforge *device)
{
    TRITFORGE_WRITE(device->page, TRITFORGE_ERRORS_OFFSET, UINT32_MAX);
    TRITFORGE_WRITE(device->page, TRITFORGE_IRQ_STATUS_OFFSET, UINT32_MAX);
    TRITFORGE_WRITE(device->page, TRITFORGE_IRQ_ENABLE_OFFSET,
                    device->wait != NULL ? TRITFORGE_IRQ_ENABLE_DONE_MASK : 0u);
    TRITFORGE_WRITE(device->page, TRITFORGE_CONTROL_OFFSET, TRITFORGE_CONTROL_CLEAR_COUNTERS_MASK);
}

/* Puts a job into the queue. Returns 0 and its number, or the bits of ERRORS that say why it was refused. */
uint32_t tritforge_start(const struct tritforge *device, const struct tritforge_job *job, uint32_t *number)
{
    const uint32_t refusals = TRITFORGE_ERRORS_ILLEGAL_JOB_MASK | TRITFORGE_ERRORS_MISALIGNED_MASK |
                              TRITFORGE_ERRORS_QUEUE_FULL_MASK | TRITFORGE_ERRORS_ADDRESS_RANGE_MASK |
                              TRITFORGE_ERRORS_START_IN_ABORT_MASK;
    uint32_t refused;

    *number = TRITFORGE_READ(device->page, TRITFORGE_STARTED_OFFSET);
    TRITFORGE_WRITE(device->page, TRITFORGE_JOB_M_OFFSET, job->m);
    TRITFORGE_WRITE(device->page, TRITFORGE_JOB_K_OFFSET, job->k);
    TRITFORGE_WRITE(device->page, TRITFORGE_JOB_TOKENS_OFFSET, job->tokens);
    TRITFORGE_WRITE(device->page, TRITFORGE_JOB_FLAGS_OFFSET, job->flags);
    TRITFORGE_WRITE(device->page, TRITFORGE_WEIGHTS_LO_OFFSET, (uint32_t)job->weights);
    TRITFORGE_WRITE(device->page, TRITFORGE_WEIGHTS_HI_OFFSET, (uint32_t)(job->weights >> 32));
#ifdef TRITFORGE_RESULTS_LO_OFFSET
    TRITFORGE_WRITE(device->page, TRITFORGE_RESULTS_LO_OFFSET, (uint32_t)job->results);
    TRITFORGE_WRITE(device->page, TRITFORGE_RESULTS_HI_OFFSET, (uint32_t)(job->results >> 32));
#endif
#ifdef TRITFORGE_RESULT_STRIDE_OFFSET
    TRITFORGE_WRITE(device->page, TRITFORGE_RESULT_STRIDE_OFFSET, job->stride);
#endif
    TRITFORGE_WRITE(device->page, TRITFORGE_CONTROL_OFFSET, TRITFORGE_CONTROL_START_MASK);
    if (TRITFORGE_READ(device->page, TRITFORGE_STARTED_OFFSET) != *number)
        return 0;
    refused = TRITFORGE_READ(device->page, TRITFORGE_ERRORS_OFFSET) & refusals;
    TRITFORGE_WRITE(device->page, TRITFORGE_ERRORS_OFFSET, refused);
    return refused;
}

/* Waits until a job is completed, by the interrupt or by polling. Returns its word of JOB_STATUS without the bit
 * `done`: 0 if all went well. Not later than the 15th start after it, when its word is used again. */
uint32_t tritforge_wait(const struct tritforge *device, uint32_t number)
{
    uint32_t offset = TRITFORGE_JOB_STATUS_OFFSET + 4u * (number % TRITFORGE_JOB_STATUS_COUNT);

    for (;;) {
        /* Cleared before the count is read, so that a job that ends in between raises the line again. */
        TRITFORGE_WRITE(device->page, TRITFORGE_IRQ_STATUS_OFFSET, TRITFORGE_IRQ_STATUS_DONE_MASK);
        /* The counts run over at 2**32: their difference says which is ahead. */
        if ((int32_t)(TRITFORGE_READ(device->page, TRITFORGE_COMPLETED_OFFSET) - number) > 0)
            return TRITFORGE_READ(device->page, offset) & ~TRITFORGE_JOB_STATUS_DONE_MASK;
        if (device->wait != NULL && device->wait(device->argument) != 0)
            return TRITFORGE_JOB_STATUS_ABORTED_MASK;
    }
}

/* Throws away all jobs under way. Stop what sends activations first: as long as it goes on, so does the abort. */
void tritforge_abort(const struct tritforge *device)
{
    TRITFORGE_WRITE(device->page, TRITFORGE_CONTROL_OFFSET, TRITFORGE_CONTROL_ABORT_MASK);
    while (TRITFORGE_READ(device->page, TRITFORGE_STATUS_OFFSET) & TRITFORGE_STATUS_ABORTING_MASK)
        ;
}

/* Writes the names of the causes in a word of ERRORS or JOB_STATUS. */
void tritforge_print_causes(FILE *file, uint32_t word)
{
    static const struct {
        const char *name;
        uint32_t mask;
    } causes[] = {
        {"illegal_job", TRITFORGE_ERRORS_ILLEGAL_JOB_MASK},
        {"misaligned", TRITFORGE_ERRORS_MISALIGNED_MASK},
        {"queue_full", TRITFORGE_ERRORS_QUEUE_FULL_MASK},
        {"illegal_trit", TRITFORGE_ERRORS_ILLEGAL_TRIT_MASK},
        {"weight_slverr", TRITFORGE_ERRORS_WEIGHT_SLVERR_MASK},
        {"weight_decerr", TRITFORGE_ERRORS_WEIGHT_DECERR_MASK},
        {"store_slverr", TRITFORGE_ERRORS_STORE_SLVERR_MASK},
        {"store_decerr", TRITFORGE_ERRORS_STORE_DECERR_MASK},
        {"aborted", TRITFORGE_ERRORS_ABORTED_MASK},
        {"address_range", TRITFORGE_ERRORS_ADDRESS_RANGE_MASK},
        {"start_in_abort", TRITFORGE_ERRORS_START_IN_ABORT_MASK},
    };

    for (size_t index = 0; index < sizeof causes / sizeof causes[0]; index++)
        if (word & causes[index].mask)
            fprintf(file, " %s", causes[index].name);
    fputc('\n', file);
}

#ifndef TRITFORGE_NO_MAIN
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A UIO device lets its interrupt through once for each 1 that is written, and counts those that came. */
static int wait_for_uio(void *argument)
{
    const int file = *(const int *)argument;
    const uint32_t enable = 1;
    uint32_t count;

    if (write(file, &enable, sizeof enable) != (ssize_t)sizeof enable)
        return -1;
    return read(file, &count, sizeof count) == (ssize_t)sizeof count ? 0 : -1;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: %s /dev/uioN WEIGHTS_ADDRESS M K T\n", argv[0]);
        return 2;
    }
    int file = open(argv[1], O_RDWR);
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) {
        perror(argv[1]);
        return 3;
    }

    struct tritforge device = {.page = page, .wait = wait_for_uio, .argument = &file};
    struct tritforge_job job = {
        .weights = strtoull(argv[2], NULL, 0),
        .m = (uint32_t)strtoul(argv[3], NULL, 0),
        .k = (uint32_t)strtoul(argv[4], NULL, 0),
        .tokens = (uint32_t)strtoul(argv[5], NULL, 0),
    };
    uint32_t number, causes;

    if (tritforge_identify(&device) != 0)
        return 1;
    tritforge_prepare(&device);
    causes = tritforge_start(&device, &job, &number);
    if (causes != 0) {
        fputs("refused:", stderr);
        tritforge_print_causes(stderr, causes);
        return 1;
    }
    causes = tritforge_wait(&device, number);
    if (causes != 0) {
        fputs("failed:", stderr);
        tritforge_print_causes(stderr, causes);
        return 1;
    }
    printf("job %" PRIu32 " took %" PRIu32 " cycles\n", number, TRITFORGE_READ(page, TRITFORGE_CYCLES_OFFSET));
    return 0;
}
#endif

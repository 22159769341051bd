/* What a Cortex-M4 executes for a clip and for each hop of a stream: on QEMU's mps2-an386 with -icount, where virtual
 * time passes by a fixed amount for every instruction. Prints through semihosting. */
#include "model.h"

#define TIMER ((volatile uint32_t *)0x40000000) /* CTRL, VALUE, RELOAD: 25 MHz, downwards */

extern uint32_t stack_top, data_begin, data_end, data_source, bss_begin, bss_end;
extern const int16_t clip[PHONAUT_CLIP];

static phonaut_state state;

static int host(int what, const void *with)
{
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print(const char *name, int64_t n)
{
    char text[32], *p = text + sizeof text;
    int minus = n < 0;
    *--p = 0;
    *--p = '\n';
    if (minus)
        n = -n;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    if (minus)
        *--p = '-';
    host(4, name);
    host(4, " ");
    host(4, p);
}

static uint32_t now(void) { return 0xffffffffu - TIMER[1]; }

static uint32_t known(uint32_t n) /* 2 n instructions */
{
    uint32_t from = now();
    __asm__ volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(n) : : "cc");
    return now() - from;
}

int main(void)
{
    uint32_t from, n_rows = 0;
    TIMER[2] = TIMER[1] = 0xffffffffu;
    TIMER[0] = 1;
    print("ticks_of_2000000_instructions", known(1000000));
    from = now();
    phonaut_classify(&state, clip, PHONAUT_CLIP);
    print("ticks_of_a_clip", now() - from);
    for (int i = 0; i < PHONAUT_CLASSES; i++)
        print("score", phonaut_scores(&state)[i]);
    phonaut_init(&state);
    from = now();
    for (size_t at = 0; at + PHONAUT_HOP <= PHONAUT_CLIP; at += PHONAUT_HOP)
        n_rows += (uint32_t)phonaut_process(&state, clip + at, PHONAUT_HOP);
    print("ticks_of_a_stream", now() - from);
    print("rows", n_rows);
    print("state_bytes", sizeof state);
    host(0x18, (const void *)0x20026);
    for (;;)
        ;
}

void reset(void)
{
    uint32_t *to = &data_begin, *source = &data_source;
    while (to < &data_end)
        *to++ = *source++;
    for (to = &bss_begin; to < &bss_end; to++)
        *to = 0;
    main();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {&stack_top, (const void *)reset};

/* Hot loops of writing an artifact (`native.py` calls them, `loops.py` says what they compute, to the last bit).
 *
 * Plain C: no state, no threads, no memory of its own. Arguments are in order when they come here, but for slots, which
 * are looked at.
 */
#include <stdint.h>

#define PRECISION 14
#define TOTAL (1u << PRECISION)
#define BLOCK 64 /* lanes at a time: twice as fast as 512 */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* One symbol for each of n lanes; words go before `words`. Gives their new beginning. */
static uint16_t *step(const uint32_t *both, int64_t n, uint32_t *restrict x, uint16_t *words) {
    uint16_t low[BLOCK], is_full[BLOCK];
    for (int64_t i = 0; i < n; i++) {
        uint32_t frequency = both[i] & 0xffff, full = x[i] >= both[i] << (32 - PRECISION);
        low[i] = (uint16_t)x[i];
        is_full[i] = (uint16_t)full;
        uint32_t y = full ? x[i] >> 16 : x[i];
        /* y (1 / f), made a little larger, reaches every whole number that y / f reaches, and no other. */
        uint32_t quotient = (uint32_t)(int32_t)(y * ((1.0 + 0x1p-48) / frequency));
        x[i] = y + quotient * (TOTAL - frequency) + (both[i] >> 16);
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        words[-1] = low[i];
        words -= is_full[i];
    }
    return words;
}

/* Symbols from the last to the first into states; words end at `words + count`. Gives how many, -1 for a bad slot. */
int64_t encode(
    const int32_t *slots, int64_t count, const uint32_t *packed, int64_t num_packed, uint32_t *states, int64_t lanes,
    uint16_t *words
) {
    uint16_t *at = words + count;
    uint32_t both[BLOCK];
    int is_bad = 0;
    if (num_packed < 1)
        return count ? -1 : 0;
    for (int64_t first = (count + lanes - 1) / lanes * lanes - lanes; first >= 0; first -= lanes) {
        int64_t width = least(lanes, count - first);
        for (int64_t begin = (width - 1) / BLOCK * BLOCK; begin >= 0; begin -= BLOCK) {
            int64_t n = least(BLOCK, width - begin);
            const int32_t *own = slots + first + begin;
            for (int64_t i = 0; i < n; i++) {
                int is_outside = own[i] < 0 || own[i] >= num_packed;
                is_bad |= is_outside;
                both[i] = packed[is_outside ? 0 : own[i]];
            }
            at = step(both, n, states + begin, at);
        }
    }
    return is_bad ? -1 : words + count - at;
}

/* Slots of a matrix of symbols, and how often each was met. */
#define PLACE(name, type)                                                                                            \
    void name(                                                                                                       \
        const type *symbols, int64_t rows, int64_t columns, const int32_t *by_row, const int32_t *by_column,         \
        int32_t first, int32_t *restrict slots, int64_t *restrict counts                                             \
    ) {                                                                                                              \
        for (int64_t r = 0; r < rows; r++, symbols += columns, slots += columns) {                                   \
            int32_t base = by_row[r] + first;                                                                        \
            for (int64_t c = 0; c < columns; c++)                                                                    \
                slots[c] = base + by_column[c] + symbols[c];                                                         \
            for (int64_t c = 0; c < columns; c++)                                                                    \
                counts[slots[c] - first]++;                                                                          \
        }                                                                                                            \
    }

PLACE(place_1, int8_t)
PLACE(place_2, int16_t)
PLACE(place_4, int32_t)

/* Hot loops of training on a CPU, for bf16 and fp32 (`native.py` calls them, `primitives.py` says what they compute).
 *
 * Plain C: no state, no threads, no memory of its own, so that any process and any thread may call them. The file
 * includes itself once for each number format; arithmetic is always fp32. NaN stays NaN: a run that diverges must
 * be seen to diverge.
 */
#ifndef ELEMENT

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float from_bf16(bf16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

static inline bf16 to_bf16(float value) { /* to nearest, ties to even */
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float from_f32(float value) { return value; }
static inline float to_f32(float value) { return value; }

/* exp of what lies in [-87, 87], relative error below 5e-7: 2^k times the polynomial of least error; written out so
 * that it vectorises. */
static inline float bounded_exponential(float x) {
    float k = rintf(x * 1.44269504f);
    float r = x - k * 0.693359375f + k * 2.12194440e-4f;
    float p = 0.00829765f;
    p = p * r + 0.04191538f;
    p = p * r + 0.16667575f;
    p = p * r + 0.49998895f;
    p = p * r + 0.99999969f;
    p = p * r + 1.00000007f;
    uint32_t bits = (uint32_t)((int32_t)k + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return p * scale;
}

static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    return bounded_exponential(x);
}

/* In lanes: a maximum that minds NaN is not vectorised otherwise. */
static inline float largest(const float *x, int64_t n) {
    float lanes[16], top = x[0];
    int64_t j = 0;
    if (n >= 16) {
        for (int l = 0; l < 16; l++) lanes[l] = x[l];
        for (j = 16; j + 16 <= n; j += 16)
            for (int l = 0; l < 16; l++) lanes[l] = x[j + l] > lanes[l] ? x[j + l] : lanes[l];
        for (int l = 0; l < 16; l++) top = lanes[l] > top ? lanes[l] : top;
    }
    for (; j < n; j++) top = x[j] > top ? x[j] : top;
    return top;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(function) JOIN(function, SUFFIX)
#define LOAD JOIN(from, SUFFIX)
#define STORE JOIN(to, SUFFIX)

#define ELEMENT bf16
#define SUFFIX bf16
#include "loops.c"
#undef ELEMENT
#undef SUFFIX
#define ELEMENT float
#define SUFFIX f32
#include "loops.c"

#else

/* Root-mean-square norm of n rows of d: y = x r, r = (mean x^2 + eps)^(-1/2), kept for the way back. */
void NAME(norm)(const ELEMENT *x, ELEMENT *y, float *r, int64_t n, int64_t d, float eps) {
    for (int64_t i = 0; i < n; i++, x += d, y += d) {
        float sum = 0.0f;
        for (int64_t j = 0; j < d; j++) {
            float value = LOAD(x[j]);
            sum += value * value;
        }
        float factor = 1.0f / sqrtf(sum / (float)d + eps);
        r[i] = factor;
        for (int64_t j = 0; j < d; j++) y[j] = STORE(LOAD(x[j]) * factor);
    }
}

/* dx = r (g - y mean(g y)) */
void NAME(norm_back)(const ELEMENT *g, const ELEMENT *y, const float *r, ELEMENT *dx, int64_t n, int64_t d) {
    for (int64_t i = 0; i < n; i++, g += d, y += d, dx += d) {
        float dot = 0.0f;
        for (int64_t j = 0; j < d; j++) dot += LOAD(g[j]) * LOAD(y[j]);
        dot /= (float)d;
        float factor = r[i];
        for (int64_t j = 0; j < d; j++) dx[j] = STORE(factor * (LOAD(g[j]) - LOAD(y[j]) * dot));
    }
}

/* Rotary positions, norm over the head, and heads before tokens: x (B, T, H, d) to y (B, H, T, d).
 * x is read by its strides (in elements); cos and sin are (T, p), p pairs of dimensions turn. */
void NAME(place)(const ELEMENT *x, const float *cosine, const float *sine, ELEMENT *y, float *r, int64_t B, int64_t H,
                 int64_t T, int64_t d, int64_t p, int64_t over_b, int64_t over_t, int64_t over_h, float eps) {
    float turned[d];
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < T; t++, y += d, r++) {
                const ELEMENT *row = x + b * over_b + t * over_t + h * over_h;
                const float *c = cosine + t * p, *s = sine + t * p;
                for (int64_t j = 0; j < p; j++) {
                    float one = LOAD(row[j]), two = LOAD(row[j + p]);
                    turned[j] = one * c[j] + two * s[j];
                    turned[j + p] = two * c[j] - one * s[j];
                }
                for (int64_t j = 2 * p; j < d; j++) turned[j] = LOAD(row[j]);
                float sum = 0.0f;
                for (int64_t j = 0; j < d; j++) sum += turned[j] * turned[j];
                float factor = 1.0f / sqrtf(sum / (float)d + eps);
                *r = factor;
                for (int64_t j = 0; j < d; j++) y[j] = STORE(turned[j] * factor);
            }
}

/* The way back: g and y (B, H, T, d) to dx (B, T, H, d), dense. */
void NAME(place_back)(const ELEMENT *g, const ELEMENT *y, const float *r, const float *cosine, const float *sine,
                      ELEMENT *dx, int64_t B, int64_t H, int64_t T, int64_t d, int64_t p) {
    float turned[d];
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t t = 0; t < T; t++, g += d, y += d, r++) {
                ELEMENT *row = dx + ((b * T + t) * H + h) * d;
                const float *c = cosine + t * p, *s = sine + t * p;
                float dot = 0.0f;
                for (int64_t j = 0; j < d; j++) dot += LOAD(g[j]) * LOAD(y[j]);
                dot /= (float)d;
                float factor = *r;
                for (int64_t j = 0; j < d; j++) turned[j] = factor * (LOAD(g[j]) - LOAD(y[j]) * dot);
                for (int64_t j = 0; j < p; j++) {
                    row[j] = STORE(turned[j] * c[j] - turned[j + p] * s[j]);
                    row[j + p] = STORE(turned[j] * s[j] + turned[j + p] * c[j]);
                }
                for (int64_t j = 2 * p; j < d; j++) row[j] = STORE(turned[j]);
            }
}

/* h = relu(z)^2 */
void NAME(relu_squared)(const ELEMENT *z, ELEMENT *h, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float value = LOAD(z[i]);
        value = value < 0.0f ? 0.0f : value;
        h[i] = STORE(value * value);
    }
}

/* dz = 2 relu(z) g */
void NAME(relu_squared_back)(const ELEMENT *g, const ELEMENT *z, ELEMENT *dz, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float value = LOAD(z[i]);
        value = value < 0.0f ? 0.0f : value;
        dz[i] = STORE(2.0f * value * LOAD(g[i]));
    }
}

/* out = a x + b x0 */
void NAME(mix)(const ELEMENT *x, const ELEMENT *x0, float a, float b, ELEMENT *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = STORE(a * LOAD(x[i]) + b * LOAD(x0[i]));
}

/* dx = a g, dx0 = b g, da = sum of g x, db = sum of g x0; sums[0] and sums[1] are da and db. */
void NAME(mix_back)(const ELEMENT *g, const ELEMENT *x, const ELEMENT *x0, float a, float b, ELEMENT *dx, ELEMENT *dx0,
                    float *sums, int64_t n) {
    double da = 0.0, db = 0.0;
    for (int64_t first = 0; first < n; first += 1024) {
        int64_t last = first + 1024 < n ? first + 1024 : n;
        float one = 0.0f, two = 0.0f;
        for (int64_t i = first; i < last; i++) {
            float value = LOAD(g[i]);
            one += value * LOAD(x[i]);
            two += value * LOAD(x0[i]);
            dx[i] = STORE(a * value);
            dx0[i] = STORE(b * value);
        }
        da += one;
        db += two;
    }
    sums[0] = (float)da;
    sums[1] = (float)db;
}

/* Values with gated rows of a table: out = v + 2 sigmoid(a) table[id]; v (n, G, d), a (n, G), table (V, G d). */
void NAME(add_rows)(const ELEMENT *v, const float *table, const int64_t *ids, const ELEMENT *a, ELEMENT *out,
                    int64_t n, int64_t G, int64_t d) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < G; h++, v += d, out += d, a++) {
            const float *row = table + (ids[i] * G + h) * d;
            float gate = 2.0f * sigmoid(LOAD(*a));
            for (int64_t j = 0; j < d; j++) out[j] = STORE(LOAD(v[j]) + gate * row[j]);
        }
}

/* da, and dtable, which is added to. */
void NAME(add_rows_back)(const ELEMENT *g, const float *table, const int64_t *ids, const ELEMENT *a, ELEMENT *da,
                         float *dtable, int64_t n, int64_t G, int64_t d) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < G; h++, g += d, a++, da++) {
            const float *row = table + (ids[i] * G + h) * d;
            float *drow = dtable + (ids[i] * G + h) * d;
            float share = sigmoid(LOAD(*a)), gate = 2.0f * share, dot = 0.0f;
            for (int64_t j = 0; j < d; j++) {
                float value = LOAD(g[j]);
                dot += value * row[j];
                drow[j] += gate * value;
            }
            *da = STORE(dot * gate * (1.0f - share));
        }
}

/* n T x T matrices of scores, in place: softmax of scale s over keys j with 0 <= i - j <= window; others 0. */
void NAME(softmax)(ELEMENT *s, float scale, int64_t n, int64_t T, int64_t window) {
    float row[T];
    for (int64_t m = 0; m < n; m++)
        for (int64_t i = 0; i < T; i++, s += T) {
            int64_t first = i > window ? i - window : 0, last = i + 1;
            for (int64_t j = first; j < last; j++) row[j] = LOAD(s[j]);
            float top = largest(row + first, last - first);
            float sum = 0.0f;
            for (int64_t j = first; j < last; j++) {
                row[j] = exponential((row[j] - top) * scale);
                sum += row[j];
            }
            float factor = 1.0f / sum;
            memset(s, 0, (size_t)first * sizeof(ELEMENT));
            for (int64_t j = first; j < last; j++) s[j] = STORE(row[j] * factor);
            memset(s + last, 0, (size_t)(T - last) * sizeof(ELEMENT));
        }
}

/* The way back, in place on the gradient g of the probabilities P: scale P (g - sum of g P). */
void NAME(softmax_back)(ELEMENT *g, const ELEMENT *P, float scale, int64_t n, int64_t T, int64_t window) {
    for (int64_t m = 0; m < n; m++)
        for (int64_t i = 0; i < T; i++, g += T, P += T) {
            int64_t first = i > window ? i - window : 0, last = i + 1;
            float dot = 0.0f;
            for (int64_t j = first; j < last; j++) dot += LOAD(g[j]) * LOAD(P[j]);
            memset(g, 0, (size_t)first * sizeof(ELEMENT));
            for (int64_t j = first; j < last; j++) g[j] = STORE(scale * LOAD(P[j]) * (LOAD(g[j]) - dot));
            memset(g + last, 0, (size_t)(T - last) * sizeof(ELEMENT));
        }
}

/* n rows of V raw logits become scale times the gradient of the sum of their cross-entropies, which is given back.
 * Logits are cap tanh(raw / cap), cap at most 80, so that exp cannot overflow. scratch: 2 V floats. */
double NAME(capped_loss)(ELEMENT *raw, const int64_t *targets, float cap, float scale, float *scratch, int64_t n,
                         int64_t V) {
    float *restrict t = scratch, *restrict e = scratch + V;
    double loss = 0.0;
    float double_over_cap = 2.0f / cap;
    for (int64_t i = 0; i < n; i++, raw += V) {
        float sum = 0.0f;
        for (int64_t j = 0; j < V; j++) {
            float u = 1.0f - 2.0f / (exponential(LOAD(raw[j]) * double_over_cap) + 1.0f);
            t[j] = u;
            e[j] = bounded_exponential(cap * u);
            sum += e[j];
        }
        int64_t target = targets[i];
        loss += (double)logf(sum) - (double)(cap * t[target]);
        float factor = scale / sum, last = t[target];
        float at_target = (e[target] * factor - scale) * (1.0f - last * last);
        for (int64_t j = 0; j < V; j++) raw[j] = STORE(e[j] * factor * (1.0f - t[j] * t[j]));
        raw[target] = STORE(at_target);
    }
    return loss;
}

#endif

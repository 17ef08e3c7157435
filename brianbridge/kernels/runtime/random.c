/* Random numbers by their place alone: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
 * 1, 2, 3", SC11), with the seed as its key and (element, trial, step, place) as its counter.
 *
 * surrogate/philox.py makes the same numbers, to the last bit. This is why logarithm, sine and cosine are written out
 * here, and why this file is compiled without -ffast-math, also for float32. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef SINGLE
typedef float real;
typedef int32_t whole;
#define MANTISSA 23 /* bits */
#define ROOT_OF_HALF 0x3f3504f3
#define ROOT sqrtf
#define NUMBERS 4 /* made of one counter */
#else
typedef double real;
typedef int64_t whole;
#define MANTISSA 52
#define ROOT_OF_HALF 0x3fe6a09e667f3bcd
#define ROOT sqrt
#define NUMBERS 2
#endif

#define LANES 16 /* counters beside each other: the first LANES elements are the first number of each, and so on */
#define TERMS(c) (int)(sizeof(c)/sizeof(*c))

static inline __attribute__((always_inline)) void philox(uint32_t x[4], uint32_t key, uint32_t second_key) {
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const uint64_t p = (uint64_t)0xD2511F53*x[0], q = (uint64_t)0xCD9E8D57*x[2];
    x[0] = (uint32_t)(q >> 32) ^ x[1] ^ key, x[1] = (uint32_t)q;
    x[2] = (uint32_t)(p >> 32) ^ x[3] ^ second_key, x[3] = (uint32_t)p;
    key += 0x9E3779B9, second_key += 0xBB67AE85;
  }
}
void philox4x32(uint32_t *counter, const uint32_t *key) { philox(counter, key[0], key[1]); }

static const real LOGARITHM[] = {1, 1./3, 1./5, 1./7, 1./9, 1./11, 1./13, 1./15, 1./17, 1./19, 1./21};
static const real SINE[] = {1, -1./6, 1./120, -1./5040, 1./362880, -1./39916800, 1./6227020800, -1./1307674368000,
                            1./355687428096000};
static const real COSINE[] = {1, -1./2, 1./24, -1./720, 1./40320, -1./3628800, 1./479001600, -1./87178291200,
                              1./20922789888000};
static inline __attribute__((always_inline)) real polynomial(const real *c, const int terms, real x) {
  real sum = c[terms - 1];
#pragma GCC unroll 16
  for (int k = terms - 2; k >= 0; --k) sum = sum*x + c[k];
  return sum;
}

/* The natural logarithm of a number from (0, 1]: u = m*2^e with m next to 1. */
static inline __attribute__((always_inline)) real logarithm(real u) {
  whole bits, e;
  real m;
  memcpy(&bits, &u, sizeof u);
  e = (bits - ROOT_OF_HALF) >> MANTISSA;
  bits -= e << MANTISSA;
  memcpy(&m, &bits, sizeof m);
  const real s = (m - 1)/(m + 1);
  return (real)e*(real)0.69314718055994530942 + 2*s*polynomial(LOGARITHM, TERMS(LOGARITHM), s*s);
}

/* Two normal numbers (Box and Muller 1958), from a uniform number of (0, 1], a quarter of the circle, and an angle from
 * its middle in quarters. */
static inline __attribute__((always_inline)) void normals(real u, uint32_t quarter, real angle, real *first, real *second) {
  const real x = angle*(real)1.57079632679489661923, square = -2*logarithm(u) + (real)0x1p-100;
  const real radius = square*(1/ROOT(square)); /* PyTorch's reciprocal root is rounded correctly, its root is not */
  const real sine = x*polynomial(SINE, TERMS(SINE), x*x), cosine = polynomial(COSINE, TERMS(COSINE), x*x);
  const real signed_radius = quarter & 2 ? -radius : radius;
  *first = signed_radius*(quarter & 1 ? -sine : cosine);
  *second = signed_radius*(quarter & 1 ? cosine : sine);
}

/* The numbers of one counter, LANES apart. */
#ifdef SINGLE
static inline void uniform_numbers(const uint32_t x[4], float *to) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) to[j*LANES] = (float)(x[j] >> 8)*0x1p-24f;
}
static inline void normal_pair(uint32_t a, uint32_t b, float *to) {
  const int32_t rest = (int32_t)(b & 0x3fffffff) - 0x20000000;
  normals((float)a*0x1p-32f + 0x1p-33f, b >> 30, (float)rest*0x1p-30f, to, to + LANES);
}
static inline void normal_numbers(const uint32_t x[4], float *to) {
  normal_pair(x[0], x[1], to);
  normal_pair(x[2], x[3], to + 2*LANES);
}
#else
static inline double of_53_bits(uint32_t a, uint32_t b) {
  return (double)(int64_t)((uint64_t)(a >> 5) << 26 | b >> 6)*0x1p-53;
}
static inline void uniform_numbers(const uint32_t x[4], double *to) {
  to[0] = of_53_bits(x[0], x[1]), to[LANES] = of_53_bits(x[2], x[3]);
}
static inline void normal_numbers(const uint32_t x[4], double *to) {
  const int64_t rest = (int64_t)((uint64_t)(x[2] & 0x3fffffff) << 21 | x[3] >> 11) - 0x4000000000000;
  normals(of_53_bits(x[0], x[1]) + 0x1p-54, x[2] >> 30, (double)rest*0x1p-51, to, to + LANES);
}
#endif

/* A row, from one element to another; both are rounded to whole groups of NUMBERS*LANES. */
#define ROW(name) \
  void name(real *restrict row, int64_t first, int64_t end, uint64_t seed, uint32_t place, uint32_t step, \
            uint32_t trial) { \
    for (int64_t i = first - first % (NUMBERS*LANES); i < end; i += NUMBERS*LANES) \
      for (int lane = 0; lane < LANES; ++lane) { \
        uint32_t x[4] = {(uint32_t)(i/NUMBERS) + lane, trial, step, place}; \
        philox(x, (uint32_t)seed, (uint32_t)(seed >> 32)); \
        name##_numbers(x, row + i + lane); \
      } \
  }
ROW(uniform)
ROW(normal)

/* Operations that C does not have, or has in another way than Python, and spike gradients. */
static inline real sign(real x) { return (real)((x > 0) - (x < 0)); }
/* As Python, NumPy and PyTorch do it: not the floor of a rounded quotient, so that 0.5 // 0.1 is 4. */
static inline double floor_divide(double a, double b) {
  if (b == 0) return a / b;
  const double r = fmod(a, b), quotient = (a - r) / b - (r != 0 && (r < 0) != (b < 0)), below = floor(quotient);
  return below + (quotient - below > 0.5);
}
static inline double modulo(double a, double b) {
  double r = fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static inline int64_t whole_floor_divide(int64_t a, int64_t b) {
  return b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
}
static inline int64_t whole_modulo(int64_t a, int64_t b) {
  return b == 0 ? 0 : a - b * whole_floor_divide(a, b);
}
static inline real exprel(real x) { return fabs(x) < (real)1e-16 ? 1 : expm1(x) / x; }
static inline real exprel_derivative(real x) {
  if (fabs(x) < (real)1e-2)
    return 1 / (real)2 + x * (1 / (real)3 + x * (1 / (real)8 + x * (1 / (real)30 + x * (1 / (real)144 + x / 840))));
  return (x * exp(x) - expm1(x)) / (x * x);
}
static inline real power(real a, real b) { return pow(a, b); }
static inline real power_to_base(real a, real b) { return b == 0 ? 0 : b * pow(a, b - 1); }
static inline real power_to_exponent(real a, real y) { return a == 0 ? 0 : y * log(a); }
/* NaN if one of them is; without branches, so that the compiler vectorises clip() too. */
static inline real maximum(real a, real b) { return (a <= b) | (b != b) ? b : a; }
static inline real minimum(real a, real b) { return (a >= b) | (b != b) ? b : a; }
static inline real finite_or_zero(real x) { return x - x == 0 ? x : 0; }
static inline real box(real x, double width, double height) { return fabs(x) <= (real)(width / 2) ? (real)height : 0; }
static inline real triangle(real x, double width, double height) {
  real u = 1 - fabs(x) / (real)width;
  return u > 0 ? u * (real)height : 0;
}
static inline real fast_sigmoid(real x, double width, double height) {
  real u = 1 + fabs(x) / (real)width;
  return (real)height / (u * u);
}
/* The number of events up to which a Poisson variable comes with this probability, found one by one; where many are
 * expected, from the most likely number on. Probabilities are multiples of that of the first number. */
#define NEGLIGIBLE 1e-20
static int32_t poisson_quantile(double probability, double mean) {
  if (!(mean >= 0 && mean < INT32_MAX)) return INT32_MIN; /* as numpy makes of NaN */
  int64_t count = 0;
  double each = 1, sum = 1, all = exp(mean);
  if (mean > 30) {
    count = (int64_t)mean, sum = 0;
    for (int64_t k = count; k >= 0 && each > NEGLIGIBLE; --k) sum += each, each *= k/mean;
    all = sum, each = 1;
    for (int64_t k = count + 1; (each *= mean/k) > NEGLIGIBLE; ++k) all += each;
    each = 1;
  }
  const double wanted = probability*all;
  while (count > 0 && sum - each >= wanted) sum -= each, each *= count--/mean;
  while (sum < wanted && each > NEGLIGIBLE*sum) each *= mean/++count, sum += each;
  return (int32_t)count;
}
static inline int64_t input_row(double time, double dt, double upsampling, int64_t rows) {
  int64_t row = (int64_t)(nearbyint(time / (dt / upsampling)) / upsampling);
  return row < 0 ? 0 : row < rows ? row : rows - 1;
}

/* What every kernel needs: spike lists, a tape, and the loops over trials, segments and steps.
 *
 * Trials are independent of each other; each is simulated by one thread from the first step to the last, so
 * that no thread ever waits for another. The backward pass undoes the steps one by one: what a step overwrites
 * is on the tape, and where the tape would grow too long it is made anew, one segment after the other, from
 * the states kept between them. */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE__
#include <immintrin.h>
#endif

/* With -DPROFILE the time that every part of the step takes is added up (for one thread). */
#ifdef PROFILE
#include <x86intrin.h>
#define TIMED(ticks, call) do { int64_t start = __rdtsc(); call; ticks += __rdtsc() - start; } while (0)
#else
#define TIMED(ticks, call) call
#endif

/* Draws a row of random numbers, from one element to another (random.c). */
typedef void Draw(void *row, int64_t first, int64_t end, uint64_t seed, uint32_t place, uint32_t step, uint32_t trial);

typedef struct {
  int64_t batch, first, steps, threads, lanes, segment, taping;
  const double *literals;
  const int64_t *sizes;           /* of the parts: elements of each */
  const int64_t *offsets, *bytes; /* of every array in the block of states */
  const int64_t *carried;         /* number of an array in the arguments, or -1: lives within a step */
  int64_t arrays, block;          /* number of arrays, and bytes of all */
  void *const *state_in, *const *state_out, *const *grad_state_out, *const *grad_state_in;
  void *const *constants;
  const int32_t *const *indices;
  const int64_t *gradient_offsets;
  int64_t gradients; /* bytes of the gradients of all constants */
  char *gradient;    /* (threads, gradients), zero at the start */
  void *const *inputs, *const *grad_inputs;
  const int64_t *input_rows, *input_columns, *input_trials;
  void *const *noise, *const *grad_noise;
  const int64_t *noise_first, *noise_columns, *noise_trials;
  int64_t places; /* where random numbers are needed; they are given, or a function draws them */
  Draw *const *draws;
  const int64_t *place;
  const int32_t *const *noise_order; /* number of each element, or NULL: as they are */
  uint64_t seed;
  void *const *outputs, *const *grad_outputs;
  const int64_t *output_first, *output_columns;
  const uint8_t *output_given; /* whether an output has a gradient */
  int64_t events;
  const int64_t *event_size, *event_array, *event_history;
  void *const *history_in, *const *history_out, *const *grad_history_out, *const *grad_history_in;
  int64_t routes;
  const int32_t *const *synapses, *const *rows;
  const int64_t *const *delays;
  const int64_t *delay_count;
  void *const *grids;
  const int64_t *grid_offsets;
  const int32_t *const *grid_indices;
  void *const *reciprocals;
  const int32_t *const *starts;
  const int32_t *const *late; /* of the routes: places that events under way at the start reach, step by step */
  const int64_t *const *late_ends, *late_first, *late_steps;
  int64_t *twice; /* 1 + a route in which two events reached one synapse at once */
  const int32_t *const *fan_starts, *const *fan_synapses, *const *fan_places;
  const int64_t *fan_columns, *fan_span; /* of the routes; zero where there is no fan */
} Problem;

/* A list of numbers for each step: the neurons that spiked. */
typedef struct {
  int32_t *items;
  int64_t *ends; /* of list q: items[ends[q]] to items[ends[q + 1]] */
  int64_t count, item_room, end_room;
} Lists;

typedef struct {
  Lists *spikes;
  char *tape;
  int64_t tape_used, tape_room;
  uint8_t **marks; /* for each event and step: the neurons that a spike gradient reaches */
  int64_t *mark_room, *mark_base; /* bytes, and the list that the first row belongs to */
  char *kept; /* blocks of states between the segments, and the last one */
  int64_t *kept_counts;
} Trial;

typedef struct Filter Filter; /* of filters.c, with functions of the same file */
typedef struct Filtering Filtering;

typedef struct {
  const Problem *p;
  Trial *trials;
  int64_t batch, events;
  Filter *filters;
} Simulation;

/* Random numbers of one place in one step. */
typedef struct {
  char *numbers, *ordered;
  int64_t *drawn; /* for every group of numbers: when it was drawn */
} Row;

typedef struct {
  const Problem *p;
  Simulation *simulation;
  Trial *trial;
  int64_t b, taping;
  char *state, *adjoint, *gradient;
  char **ring;  /* gradients of past events, newest first, as a ring */
  uint8_t **spiked, *all;
  real **fans; /* of the routes: gradients at their targets, of the last steps */
  real *buffer, *zeros;
  int64_t length; /* of a buffer */
  real *products[PRODUCTS]; /* pairs of vectors whose outer products are still to be added */
  int64_t product_count[PRODUCTS];
  Filtering *filtering;
  Row *random;
  char *tape;
  int64_t tape_used, tape_room;
  unsigned rounding; /* of the thread, as it was */
} Work;

static void *room(void *memory, int64_t bytes) {
  void *larger = realloc(memory, bytes ? bytes : 1);
  if (!larger) {
    fprintf(stderr, "brianbridge: there is not enough memory for this simulation (%lld more bytes were asked for). Take "
                    "fewer trials at once, or Surrogate(segment=...) with a smaller number of steps.\n", (long long)bytes);
    abort();
  }
  return larger;
}

#define CHUNK (64/(int64_t)sizeof(real))
static int64_t buffer_length(const Problem *p);
static int64_t buffer_count(void);
/* A buffer for one value of every element. */
static inline real *vector(Work *w, int64_t number) { return w->buffer + number*w->length; }
static inline void clear_vector(Work *w, int64_t number, int64_t n) {
  memset(vector(w, number), 0, (n + CHUNK)*sizeof(real));
}
/* Zeros up to a whole number of chunks. */
static inline void pad(real *v, int64_t n) { for (; n % CHUNK; ++n) v[n] = 0; }

static inline real sign(real x) { return (real)((x > 0) - (x < 0)); }
static inline double floor_divide(double a, double b) { return floor(a / b); }
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
static inline real maximum(real a, real b) { return a != a || a > b ? a : b; }
static inline real minimum(real a, real b) { return a != a || a < b ? a : b; }
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

static void push(Work *w, const void *data, int64_t bytes) {
  if (w->tape_used + bytes > w->tape_room) {
    w->tape_room = 2 * w->tape_room + bytes;
    w->tape = room(w->tape, w->tape_room);
  }
  memcpy(w->tape + w->tape_used, data, bytes);
  w->tape_used += bytes;
}
static void pop(Work *w, void *data, int64_t bytes) {
  w->tape_used -= bytes;
  memcpy(data, w->tape + w->tape_used, bytes);
}

/* Random numbers are made when they are first read, in groups of so many bytes, and kept until the next step. */
#define GROUP 256
static void *start_row(Work *w, int64_t number) {
  Row *row = &w->random[number];
  if (!row->numbers) {
    const int64_t bytes = (w->p->noise_columns[number]*sizeof(double)/GROUP + 1)*GROUP;
    row->numbers = aligned_alloc(64, bytes);
    row->ordered = w->p->noise_order[number] ? aligned_alloc(64, bytes) : row->numbers;
    row->drawn = calloc(bytes/GROUP, sizeof(int64_t));
  }
  return row->ordered;
}
static inline void draw_groups(Work *w, int64_t number, int64_t step, int64_t first, int64_t end, int64_t size) {
  const Problem *p = w->p;
  Row *row = &w->random[number];
  const int64_t now = step*p->batch + w->b + 1;
  for (int64_t g = first*size/GROUP, done; g*GROUP < end*size; g = done) {
    for (done = g; done*GROUP < end*size && row->drawn[done] != now; ++done) row->drawn[done] = now;
    if (done > g) p->draws[number](row->numbers, g*GROUP/size, done*GROUP/size, p->seed, p->place[number], step, w->b);
    else ++done;
  }
}
/* Makes sure that the numbers from one element to another are there, each of so many bytes. */
static inline void draw_numbers(Work *w, int64_t number, int64_t step, int64_t first, int64_t end, int64_t size) {
  const int32_t *order = w->p->noise_order[number];
  const Row *row = &w->random[number];
  if (!w->p->draws[number]) return;
  if (!order) draw_groups(w, number, step, first, end, size);
  else
    for (int64_t i = first; i < end; ++i) {
      draw_groups(w, number, step, order[i], order[i] + 1, size);
      memcpy(row->ordered + i*size, row->numbers + order[i]*size, size);
    }
}
static void *drawn_row(Work *w, int64_t number, int64_t step, int64_t size) {
  void *row = start_row(w, number);
  draw_numbers(w, number, step, 0, w->p->noise_columns[number], size);
  return row;
}

static void start_list(Lists *l) {
  if (l->count + 2 > l->end_room) {
    l->end_room = 2 * l->end_room + 16;
    l->ends = room(l->ends, l->end_room * sizeof(int64_t));
    if (l->count == 0) l->ends[0] = 0;
  }
  l->ends[l->count + 1] = l->ends[l->count];
}
static inline int64_t list_room(Lists *l, int64_t more) {
  int64_t used = l->ends[l->count + 1];
  if (used + more > l->item_room) {
    l->item_room = 2 * (used + more) + 64;
    l->items = room(l->items, l->item_room * sizeof(int32_t));
  }
  return used;
}
/* Append the numbers of all elements that are not zero as the next list. Nothing is written behind it: where a
 * segment is made anew, the lists of later steps are there already. */
static void list_nonzero(Lists *l, const real *z, int64_t n) {
  start_list(l);
  int64_t used = list_room(l, n);
  int32_t *items = l->items;
  for (int64_t begin = 0; begin < n; begin += CHUNK) {
    const int64_t end = begin + CHUNK < n ? begin + CHUNK : n;
    int any = 0;
    for (int64_t i = begin; i < end; ++i) any |= z[i] > (real)0.5;
    for (int64_t i = begin; any && i < end; ++i)
      if (z[i] > (real)0.5) items[used++] = (int32_t)i;
  }
  l->ends[++l->count] = used;
}
/* Where the next step's marks go: the neurons that a spike gradient reaches. */
static uint8_t *mark_row(Work *w, int64_t e) {
  if (!w->taping) return w->spiked[e];
  Trial *t = w->trial;
  int64_t n = w->p->event_size[e], place = t->spikes[e].count - t->mark_base[e];
  if ((place + 1) * n > t->mark_room[e]) {
    t->mark_room[e] = 2 * (place + 1) * n;
    t->marks[e] = room(t->marks[e], t->mark_room[e]);
  }
  return t->marks[e] + place * n;
}
/* The neurons whose gradient is wanted for list q: all of them where that is not known. */
static const uint8_t *marked(Work *w, int64_t e, int64_t q) {
  int64_t place = q - w->trial->mark_base[e];
  return place < 0 || !w->trial->marks[e] ? w->all : w->trial->marks[e] + place * w->p->event_size[e];
}

static inline int64_t ring_slots(const Problem *p, int64_t e) { return p->event_history[e] + 2; }
static inline real *ring_slot(Work *w, int64_t e, int64_t q) {
  return (real *)w->ring[e] + (q % ring_slots(w->p, e)) * w->p->event_size[e];
}
static inline real *event_array(Work *w, int64_t e) { return (real *)(w->state + w->p->offsets[w->p->event_array[e]]); }
/* Take back the last event: the events before it are the present ones. */
static void undo_event(Work *w, int64_t e) {
  Lists *l = &w->trial->spikes[e];
  real *z = event_array(w, e);
  for (int64_t j = l->ends[l->count - 1]; j < l->ends[l->count]; ++j) z[l->items[j]] = 0;
  --l->count;
  for (int64_t j = l->ends[l->count - 1]; j < l->ends[l->count]; ++j) z[l->items[j]] = 1;
}

/* Whether an event reaches some synapse in this step. */
static int arrived(Work *w, int64_t e, int64_t route) {
  const Lists *l = &w->trial->spikes[e];
  for (int64_t d = 0; d < w->p->delay_count[route]; ++d) {
    int64_t q = l->count - 1 - w->p->delays[route][d];
    if (l->ends[q + 1] > l->ends[q]) return 1;
  }
  return 0;
}

/* Events under way at the start that arrive in a step: the places that they reach, in order. */
typedef struct { const int32_t *next, *end; } Late;
static Late late_events(const Problem *p, int64_t route, int64_t k) {
  const int64_t row = k - p->late_first[route];
  if (row < 0 || row >= p->late_steps[route]) return (Late){NULL, NULL};
  return (Late){p->late[route] + p->late_ends[route][row], p->late[route] + p->late_ends[route][row + 1]};
}
static int any_late(const Problem *p, int64_t route, int64_t k) {
  const Late l = late_events(p, route, k);
  return l.next < l.end;
}
/* Whether the next of them, or the last one on the way back, is in a row, or at a place; then it is taken. */
static inline int late_in_row(const Late *l, const int32_t *row, int back) {
  if (l->next >= l->end) return 0;
  return back ? l->end[-1] >= row[0] : *l->next < row[1];
}
static inline int take_late(Late *l, int32_t r, int back) {
  if (l->next >= l->end || (back ? l->end[-1] : *l->next) != r) return 0;
  if (back) --l->end; else ++l->next;
  return 1;
}

/* Where the gradients go that what arrives in a step has at the targets. Each row is kept twice, one whole ring
 * after the other, so that those of any successive steps lie in one piece. */
static real *fan_row(Work *w, int64_t route, int64_t t) {
  return w->fans[route] + (t % w->p->fan_span[route])*w->p->fan_columns[route];
}
static const real *close_fan_row(Work *w, int64_t route, int64_t t) {
  const int64_t columns = w->p->fan_columns[route];
  real *row = fan_row(w, route, t);
  memcpy(row + w->p->fan_span[route]*columns, row, columns*sizeof(real));
  return row;
}
/* Nothing arrives before the start, but events from before it have gradients. */
static void flush_fan(Work *w, int64_t route, int64_t e, int64_t offset, void (*sum)(Work *, int64_t, int64_t)) {
  const Problem *p = w->p;
  if (!p->grad_history_in[e]) return;
  for (int64_t t = w->trial->spikes[e].count - 1 - offset; t >= p->delays[route][p->delay_count[route] - 1]; --t) {
    memset(fan_row(w, route, t), 0, p->fan_columns[route]*sizeof(real));
    sum(w, route, t);
  }
}

#define UNROLL _Pragma("GCC unroll 8") /* small loops whose values are to stay in registers */
typedef real chunk __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));
static inline real total(chunk v) {
  real sum = 0;
  for (int64_t j = 0; j < CHUNK; ++j) sum += v[j];
  return sum;
}
/* Products of vectors, one of each trial, with a grid: out[m][column] += sum over rows of
 * vectors[m][row]*grid[row][column]. Several columns and trials at once stay in registers; out has whole chunks. */
#define TRIALS 6
#define WIDTH 4
static inline __attribute__((always_inline)) void add_rows(
    const real *grid, int64_t rows, int64_t columns, const real *const *vectors, real *const *out, int64_t column,
    const int W, const int M) {
  chunk sums[TRIALS][WIDTH];
  UNROLL for (int m = 0; m < M; ++m)
    UNROLL for (int j = 0; j < W; ++j) sums[m][j] = (chunk){0};
  for (int64_t row = 0; row < rows; ++row) {
    chunk weights[WIDTH];
    UNROLL for (int j = 0; j < W; ++j) weights[j] = *(const chunk *)(grid + row*columns + column + j*CHUNK);
    UNROLL for (int m = 0; m < M; ++m) {
      const real v = vectors[m][row];
      UNROLL for (int j = 0; j < W; ++j) sums[m][j] += v*weights[j];
    }
  }
  UNROLL for (int m = 0; m < M; ++m)
    UNROLL for (int j = 0; j < W; ++j) *(chunk *)(out[m] + column + j*CHUNK) += sums[m][j];
}
#define ADD_ROWS(M) \
  case M: \
    if (W == WIDTH) add_rows(grid, rows, columns, vectors, out, column, WIDTH, M); \
    else add_rows(grid, rows, columns, vectors, out, column, 1, M); \
    break;
static void multiply(const real *grid, int64_t rows, int64_t columns, int64_t count, const real *const *vectors,
                             real *const *out) {
  for (int64_t column = 0, W; column < columns; column += W*CHUNK) {
    W = column + WIDTH*CHUNK <= columns ? WIDTH : 1;
    switch (count) { ADD_ROWS(1) ADD_ROWS(2) ADD_ROWS(3) ADD_ROWS(4) ADD_ROWS(5) ADD_ROWS(6) }
  }
}
/* Product of two vectors up to whole chunks: four sums, since each addition waits for the one before it. */
static inline real dot(const real *weights, const real *v, int64_t columns) {
  chunk sums[4] = {{0}, {0}, {0}, {0}};
  int64_t column = 0;
  for (; column + 4*CHUNK <= columns; column += 4*CHUNK)
    UNROLL for (int j = 0; j < 4; ++j)
      sums[j] += *(const chunk *)(weights + column + j*CHUNK) * *(const chunk *)(v + column + j*CHUNK);
  for (; column < columns; column += CHUNK) sums[0] += *(const chunk *)(weights + column) * *(const chunk *)(v + column);
  return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}
/* The same for few columns, with the grid whose rows these are. */
static void multiply_narrow(const real *turned, int64_t rows, int64_t columns, int64_t count, const real *const *vectors,
                            real *const *out) {
  for (int64_t column = 0; column < columns; ++column)
    for (int64_t m = 0; m < count; ++m) out[m][column] += dot(turned + column*rows, vectors[m], rows);
}
/* Products of the rows of a grid with vectors, for the rows that are `wanted`: one by one where these are few, since the
 * product with the grid `turned`, columns and rows exchanged, makes all. */
static void multiply_wanted(const real *grid, const real *turned, int64_t rows, int64_t columns, int64_t count,
                            const real *const *vectors, real *const *sums, real *const *out, const uint8_t *const *wanted) {
  int64_t marks = 0;
  for (int64_t m = 0; m < count; ++m)
    for (int64_t row = 0; row < rows; ++row) marks += wanted[m][row];
  if (marks < rows) {
    for (int64_t row = 0; marks && row < rows; ++row)
      for (int64_t m = 0; m < count; ++m)
        if (wanted[m][row]) out[m][row] += dot(grid + row*columns, vectors[m], columns);
    return;
  }
  for (int64_t m = 0; m < count; ++m) memset(sums[m], 0, (rows + CHUNK)*sizeof(real));
  multiply(turned, columns, rows, count, vectors, sums);
  for (int64_t m = 0; m < count; ++m)
    for (int64_t row = 0; row < rows; ++row) out[m][row] += sums[m][row];
}

/* Gradient of a matrix: outer products of pairs of vectors, of many steps and trials at once, so that the matrix
 * itself is not read and written for every one of them. */
#define DEPTH 48
#define ROWS 4
static inline __attribute__((always_inline)) void add_block(
    const real *a, const real *b, int64_t rows, int64_t columns, int64_t depth, real *gradient, int64_t row, int64_t column,
    const int R) {
  chunk sums[ROWS][WIDTH];
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int j = 0; j < WIDTH; ++j) sums[r][j] = (chunk){0};
  const int64_t room = (columns/CHUNK + 1)*CHUNK;
  for (int64_t d = 0; d < depth; ++d) {
    chunk right[WIDTH];
    UNROLL for (int j = 0; j < WIDTH; ++j) right[j] = *(const chunk *)(b + d*room + column + j*CHUNK);
    UNROLL for (int r = 0; r < R; ++r) {
      const real left = a[d*rows + row + r];
      UNROLL for (int j = 0; j < WIDTH; ++j) sums[r][j] += left*right[j];
    }
  }
  UNROLL for (int r = 0; r < R; ++r)
    UNROLL for (int j = 0; j < WIDTH; ++j)
      for (int64_t i = 0; i < CHUNK && column + j*CHUNK + i < columns; ++i)
        gradient[(row + r)*columns + column + j*CHUNK + i] += sums[r][j][i];
}
static void add_products(Work *lanes, int64_t number, int64_t rows, int64_t columns, real *gradient) {
  const real *a = lanes->products[number], *b = a + DEPTH*rows;
  const int64_t depth = lanes->product_count[number];
  for (int64_t row = 0, R; depth && row < rows; row += R) {
    R = row + ROWS <= rows ? ROWS : 1;
    for (int64_t column = 0; column < columns; column += WIDTH*CHUNK) {
      if (R == ROWS) add_block(a, b, rows, columns, depth, gradient, row, column, ROWS);
      else add_block(a, b, rows, columns, depth, gradient, row, column, 1);
    }
  }
  lanes->product_count[number] = 0;
}
static void keep_product(Work *lanes, int64_t number, int64_t rows, int64_t columns, const real *a, const real *b,
                         real *gradient) {
  const int64_t room = (columns/CHUNK + 1)*CHUNK;
  if (!lanes->products[number])
    lanes->products[number] = calloc(DEPTH*(rows + room) + WIDTH*CHUNK, sizeof(real));
  const int64_t depth = lanes->product_count[number]++;
  memcpy(lanes->products[number] + depth*rows, a, rows*sizeof(real));
  memcpy(lanes->products[number] + DEPTH*rows + depth*room, b, columns*sizeof(real));
  if (depth + 1 == DEPTH) add_products(lanes, number, rows, columns, gradient);
}

static Filter *new_filters(const Problem *p);
static void free_filters(Filter *filters);
static void start_filtering(Work *w, int64_t backward);
static void end_filtering(Work *w);
static void start_window(Work *w);
static void begin_filters(Work *w, const Problem *p, const Filter *f, Filtering *g);
static void end_filters(Work *w, const Problem *p, const Filter *f, Filtering *g);
static void finish_filters(Work *w, const Problem *p, const Filter *f, Filtering *g);
static void finish_backward(Work *lanes);
static void flush_fans(Work *w);
static void step_forward(Work *lanes, int64_t count, int64_t k);
static void step_backward(Work *lanes, int64_t count, int64_t k);

static int64_t segments(const Problem *p) { return (p->steps + p->segment - 1) / p->segment; }

static void start_work(Work *w, Simulation *s, int64_t thread, int64_t backward) {
  const Problem *p = s->p;
  memset(w, 0, sizeof *w);
#ifdef __SSE__
  w->rounding = _mm_getcsr();
  if (sizeof(real) == 4) _mm_setcsr(w->rounding | 0x8040); /* numbers too small for full precision are zero */
#endif
  w->p = p, w->simulation = s;
  w->state = calloc(1, p->block + 64);
  w->length = buffer_length(p);
  w->buffer = malloc(buffer_count()*w->length*sizeof(real) + 64);
  w->zeros = calloc(w->length, sizeof(real));
  w->gradient = p->gradient ? p->gradient + thread * p->gradients : NULL;
  w->random = calloc(p->places + 1, sizeof(Row));
  w->ring = calloc(p->events + 1, sizeof(char *));
  w->spiked = calloc(p->events + 1, sizeof(uint8_t *));
  w->fans = calloc(p->routes + 1, sizeof(real *));
  int64_t largest = 0;
  for (int64_t e = 0; e < p->events; ++e) {
    w->spiked[e] = calloc(1, p->event_size[e] + 64);
    if (p->event_size[e] > largest) largest = p->event_size[e];
  }
  w->all = memset(malloc(largest + 64), 1, largest + 64);
  start_filtering(w, backward);
}
static void end_work(Work *w) {
#ifdef __SSE__
  _mm_setcsr(w->rounding);
#endif
  for (int64_t e = 0; e < w->p->events; ++e) free(w->ring[e]), free(w->spiked[e]);
  for (int64_t r = 0; r < w->p->routes; ++r) free(w->fans[r]);
  for (int64_t j = 0; j < PRODUCTS; ++j) free(w->products[j]);
  for (int64_t j = 0; j < w->p->places; ++j) {
    if (w->random[j].ordered != w->random[j].numbers) free(w->random[j].ordered);
    free(w->random[j].numbers), free(w->random[j].drawn);
  }
  free(w->state), free(w->adjoint), free(w->buffer), free(w->zeros), free(w->all), free(w->ring);
  free(w->spiked), free(w->random), free(w->fans);
  end_filtering(w);
}

static void keep(Work *w, int64_t place) {
  const Problem *p = w->p;
  memcpy(w->trial->kept + place * p->block, w->state, p->block);
  for (int64_t e = 0; e < p->events; ++e) w->trial->kept_counts[place * p->events + e] = w->trial->spikes[e].count;
}
static void recall(Work *w, int64_t place) {
  const Problem *p = w->p;
  memcpy(w->state, w->trial->kept + place * p->block, p->block);
  for (int64_t e = 0; e < p->events; ++e) w->trial->spikes[e].count = w->trial->kept_counts[place * p->events + e];
  start_window(w);
}

static void copy_states(Work *w, void *const *from, char *to) {
  const Problem *p = w->p;
  for (int64_t a = 0; a < p->arrays; ++a)
    if (p->carried[a] >= 0 && from[p->carried[a]])
      memcpy(to + p->offsets[a], (char *)from[p->carried[a]] + w->b * p->bytes[a], p->bytes[a]);
}

static void begin_trial(Work *w) {
  const Problem *p = w->p;
  memset(w->state, 0, p->block);
  copy_states(w, p->state_in, w->state);
  for (int64_t e = 0; e < p->events; ++e) {
    int64_t n = p->event_size[e], length = p->event_history[e] + 1;
    Lists *l = &w->trial->spikes[e];
    l->count = 0;
    for (int64_t q = 0; q < length; ++q)
      list_nonzero(l, (real *)p->history_in[e] + (w->b * length + length - 1 - q) * n, n);
    memcpy(event_array(w, e), (real *)p->history_in[e] + w->b * length * n, n * sizeof(real));
  }
}

static void end_trial(Work *w) {
  const Problem *p = w->p;
  for (int64_t a = 0; a < p->arrays; ++a)
    if (p->carried[a] >= 0)
      memcpy((char *)p->state_out[p->carried[a]] + w->b * p->bytes[a], w->state + p->offsets[a], p->bytes[a]);
  for (int64_t e = 0; e < p->events; ++e) {
    int64_t n = p->event_size[e], length = p->event_history[e] + 1;
    Lists *l = &w->trial->spikes[e];
    real *history = (real *)p->history_out[e] + w->b * length * n;
    memset(history, 0, length * n * sizeof(real));
    for (int64_t q = 0; q < length; ++q)
      for (int64_t j = l->ends[l->count - 1 - q]; j < l->ends[l->count - q]; ++j) history[q * n + l->items[j]] = 1;
  }
}

static void free_trial(int64_t events, Trial *trial) {
  for (int64_t e = 0; trial->spikes && e < events; ++e) free(trial->spikes[e].items), free(trial->spikes[e].ends), free(trial->marks[e]);
  free(trial->marks), free(trial->mark_room), free(trial->mark_base);
  free(trial->spikes), free(trial->tape), free(trial->kept), free(trial->kept_counts);
  memset(trial, 0, sizeof *trial);
}

static void start_marks(Work *w) {
  for (int64_t e = 0; e < w->p->events; ++e) w->trial->mark_base[e] = w->trial->spikes[e].count;
}

static void begin_forward(Work *w, int64_t b) {
  const Problem *p = w->p;
  w->b = b, w->trial = &w->simulation->trials[b];
  Trial *t = w->trial;
  if (!t->spikes) {
    t->spikes = calloc(p->events + 1, sizeof(Lists));
    t->marks = calloc(p->events + 1, sizeof(uint8_t *));
    t->mark_room = calloc(p->events + 1, sizeof(int64_t));
    t->mark_base = calloc(p->events + 1, sizeof(int64_t));
  }
  if (p->taping) {
    t->kept = room(t->kept, (segments(p) + 1) * p->block);
    t->kept_counts = room(t->kept_counts, (segments(p) + 1) * (p->events + 1) * sizeof(int64_t));
  }
  begin_trial(w);
  w->taping = p->taping && p->segment >= p->steps;
  w->tape = t->tape, w->tape_used = 0, w->tape_room = t->tape_room;
  start_marks(w);
  start_window(w);
}

static void end_forward(Work *w) {
  const Problem *p = w->p;
  if (p->taping) keep(w, segments(p));
  w->trial->tape = w->tape, w->trial->tape_used = w->tape_used, w->trial->tape_room = w->tape_room;
  end_trial(w);
  if (!p->taping) free_trial(p->events, w->trial);
}

static void take_trials(Work *lanes, int64_t count, int64_t b) {
  const Problem *p = lanes->p;
  for (int64_t m = 0; m < count; ++m) begin_forward(lanes + m, b + m);
  for (int64_t k = 0; k < p->steps; ++k) {
    if (p->taping && p->segment < p->steps && k % p->segment == 0)
      for (int64_t m = 0; m < count; ++m) keep(lanes + m, k / p->segment);
    step_forward(lanes, count, p->first + k);
  }
  for (int64_t m = 0; m < count; ++m) end_forward(lanes + m);
}

/* Memory of an earlier simulation: fresh memory would have to be cleared by the system, page by page. */
static Simulation *spare;

static Simulation *start_simulation(const Problem *p) {
  Simulation *s = NULL;
#pragma omp critical(spare)
  if (spare && spare->batch == p->batch && spare->events == p->events) s = spare, spare = NULL;
  if (!s) {
    s = calloc(1, sizeof *s);
    s->batch = p->batch, s->events = p->events;
    s->trials = calloc(p->batch, sizeof(Trial));
  }
  s->p = p;
  free_filters(s->filters);
  s->filters = new_filters(p);
  return s;
}

static void free_simulation(Simulation *s) {
  for (int64_t b = 0; b < s->batch; ++b) free_trial(s->events, &s->trials[b]);
  free_filters(s->filters);
  free(s->trials), free(s);
}

void release(Simulation *s) {
  Simulation *before = NULL;
#pragma omp critical(spare)
  before = spare, spare = s;
  if (before) free_simulation(before);
}

Simulation *run_forward(const Problem *p) {
  Simulation *s = start_simulation(p);
#pragma omp parallel num_threads(p->threads)
  {
    Work *lanes = calloc(p->lanes, sizeof(Work));
    for (int64_t m = 0; m < p->lanes; ++m) start_work(lanes + m, s, omp_get_thread_num(), 0);
#pragma omp for schedule(static)
    for (int64_t b = 0; b < p->batch; b += p->lanes)
      take_trials(lanes, b + p->lanes < p->batch ? p->lanes : p->batch - b, b);
    for (int64_t m = p->lanes - 1; m >= 0; --m) end_work(lanes + m);
    free(lanes);
  }
  return s;
}

static int64_t fan_bytes(const Problem *p, int64_t route) {
  return 2*p->fan_span[route]*p->fan_columns[route]*sizeof(real);
}

static void begin_backward(Work *w) {
  const Problem *p = w->p;
  memset(w->adjoint, 0, p->block);
  copy_states(w, p->grad_state_out, w->adjoint);
  begin_filters(w, p, w->simulation->filters, w->filtering);
  for (int64_t r = 0; r < p->routes; ++r) memset(w->fans[r], 0, fan_bytes(p, r));
  for (int64_t e = 0; e < p->events; ++e) {
    int64_t n = p->event_size[e], length = p->event_history[e] + 1, count = w->trial->spikes[e].count;
    memset(w->ring[e], 0, ring_slots(p, e) * n * sizeof(real));
    const real *given = p->grad_history_out[e];
    for (int64_t q = 0; given && q < length; ++q)
      memcpy(ring_slot(w, e, count - 1 - q), given + (w->b * length + q) * n, n * sizeof(real));
  }
}

static void end_backward(Work *w) {
  const Problem *p = w->p;
  end_filters(w, p, w->simulation->filters, w->filtering);
  flush_fans(w);
  for (int64_t a = 0; a < p->arrays; ++a)
    if (p->carried[a] >= 0 && p->grad_state_in[p->carried[a]])
      memcpy((char *)p->grad_state_in[p->carried[a]] + w->b * p->bytes[a], w->adjoint + p->offsets[a], p->bytes[a]);
  for (int64_t e = 0; e < p->events; ++e) {
    int64_t n = p->event_size[e], length = p->event_history[e] + 1;
    real *given = p->grad_history_in[e];
    for (int64_t q = 0; given && q < length; ++q)
      memcpy(given + (w->b * length + q) * n, ring_slot(w, e, length - 1 - q), n * sizeof(real));
  }
}

static void untake_trials(Work *lanes, int64_t count, int64_t b) {
  const Problem *p = lanes->p;
  int64_t whole = p->segment >= p->steps, last = segments(p);
  for (int64_t m = 0; m < count; ++m) {
    Work *w = lanes + m;
    w->b = b + m, w->trial = &w->simulation->trials[b + m];
    recall(w, last);
    begin_backward(w);
    if (whole) {
      free(w->tape);
      w->tape = w->trial->tape, w->tape_used = w->trial->tape_used, w->tape_room = w->trial->tape_room;
    }
    w->taping = 1;
  }
  if (whole) {
    for (int64_t k = p->steps - 1; k >= 0; --k) step_backward(lanes, count, p->first + k);
    for (int64_t m = 0; m < count; ++m) lanes[m].tape = NULL;
  }
  for (int64_t part = whole ? -1 : last - 1; part >= 0; --part) {
    int64_t begin = part * p->segment, end = begin + p->segment < p->steps ? begin + p->segment : p->steps;
    for (int64_t m = 0; m < count; ++m) {
      recall(lanes + m, part);
      start_marks(lanes + m);
      lanes[m].tape_used = 0;
    }
    for (int64_t k = begin; k < end; ++k) step_forward(lanes, count, p->first + k);
    for (int64_t k = end - 1; k >= begin; --k) step_backward(lanes, count, p->first + k);
  }
  for (int64_t m = 0; m < count; ++m) end_backward(lanes + m);
}

void run_backward(Simulation *s, const Problem *p) {
  const Problem *before = s->p;
  s->p = p;
#pragma omp parallel num_threads(p->threads)
  {
    Work *lanes = calloc(p->lanes, sizeof(Work));
    for (int64_t m = 0; m < p->lanes; ++m) {
      Work *w = lanes + m;
      start_work(w, s, omp_get_thread_num(), 1);
      w->adjoint = calloc(1, p->block + 64);
      for (int64_t e = 0; e < p->events; ++e)
        w->ring[e] = calloc(ring_slots(p, e), p->event_size[e] * sizeof(real) + 1);
      for (int64_t r = 0; r < p->routes; ++r) w->fans[r] = malloc(fan_bytes(p, r) + 64);
    }
#pragma omp for schedule(static)
    for (int64_t b = 0; b < p->batch; b += p->lanes)
      untake_trials(lanes, b + p->lanes < p->batch ? p->lanes : p->batch - b, b);
    finish_backward(lanes);
    for (Work *w = lanes; w < lanes + p->lanes; ++w) finish_filters(w, p, s->filters, w->filtering);
    for (int64_t m = p->lanes - 1; m >= 0; --m) free(lanes[m].tape), end_work(lanes + m);
    free(lanes);
  }
  s->p = before;
}

/* Linear filters, one for each synapse (see filters.py): s decays by a factor in every step, jumps at events, and is
 * summed. Forward, the sums of several steps are made in one pass over the synapses, and events add what they change
 * about the steps that are left. Backward, the filters of a neuron's synapses are brought up to date only where an
 * event or a spike gradient asks for them. */
#define WINDOW 8   /* steps that a forward pass over the synapses serves */
#define MARGIN 256 /* that a permutation may read behind the targets */
#define HISTORY 32 /* steps after which all filters of the gradient are brought up to date */

struct Filter {
  int64_t targets, rows, places; /* neurons that sums go to; rows of the route; places in them */
  const int32_t *starts;         /* of the synapses of a target, in the order of the states */
  real *factor, *weight, *jump;  /* in the order of the states */
  /* Rows are the synapses that an event reaches with one delay, filled up to whole chunks with places that have no
   * synapse (-1) and where all is zero. */
  int32_t *row_starts, *synapse, *target;
  real *row_factor, *row_weight, *row_jump;
  uint8_t *blocks; /* of each row: blocks of 2 chunks, from the first target of a chunk on, in which its targets lie;
                      NULL where it is faster to look targets up one by one */
};

struct Filtering {
  real *future; /* (targets, WINDOW): sums of this step and the next ones */
  int64_t place, length;
  real *lambda, *mu, *nu, *history;        /* history: (HISTORY, stride), gradients of the sums */
  real *d_factor, *d_weight, *d_jump;      /* at the places of the rows */
  int64_t stride, *done, pending;                  /* steps of the history that each row has taken, and that there are */
};

static real *in_rows(const Filter *f, const real *values) {
  real *laid = calloc(f->places + CHUNK, sizeof(real));
  for (int64_t r = 0; r < f->places; ++r)
    if (f->synapse[r] >= 0) laid[r] = values[f->synapse[r]];
  return laid;
}
#if defined(__AVX512F__) && SINGLE
#define MOST_BLOCKS 8
/* Where the targets of a chunk lie close together, permutations of whole registers find them faster than loads. */
static void find_blocks(Filter *f) {
  int64_t most = 1;
  f->blocks = malloc(f->rows + 1);
  for (int64_t row = 0; row < f->rows; ++row) {
    int32_t span = 0;
    for (int32_t r = f->row_starts[row]; r < f->row_starts[row + 1]; ++r) {
      const int32_t first = f->target[r/CHUNK*CHUNK];
      if (f->synapse[r] < 0) f->target[r] = first;
      if (f->target[r] < first) span = INT32_MAX;
      else if (f->target[r] - first > span) span = f->target[r] - first;
    }
    const int64_t blocks = span/(2*CHUNK) + 1;
    f->blocks[row] = blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS;
    most = blocks > most ? blocks : most;
  }
  if (most > MOST_BLOCKS) free(f->blocks), f->blocks = NULL;
}
#else
static void find_blocks(Filter *f) { f->blocks = NULL; }
#endif
/* Lay out in rows what the kernel has put in the order of the states. */
static void lay_filter(Filter *f, const int32_t *starts, const int32_t *synapses, const int32_t *targets) {
  f->row_starts = malloc((f->rows + 1)*sizeof(int32_t));
  f->row_starts[0] = 0;
  for (int64_t row = 0; row < f->rows; ++row)
    f->row_starts[row + 1] = f->row_starts[row] + (starts[row + 1] - starts[row] + CHUNK - 1)/CHUNK*CHUNK;
  f->places = f->row_starts[f->rows];
  f->synapse = malloc(f->places*sizeof(int32_t) + 64), f->target = calloc(f->places + CHUNK, sizeof(int32_t));
  memset(f->synapse, -1, f->places*sizeof(int32_t));
  for (int64_t row = 0; row < f->rows; ++row)
    for (int32_t r = f->row_starts[row], j = starts[row]; j < starts[row + 1]; ++r, ++j)
      f->synapse[r] = synapses[j], f->target[r] = targets[synapses[j]];
  f->row_factor = in_rows(f, f->factor), f->row_weight = in_rows(f, f->weight), f->row_jump = in_rows(f, f->jump);
  find_blocks(f);
}
static void make_filters(const Problem *p, Filter *filters);
static Filter *new_filters(const Problem *p) {
  Filter *filters = calloc(FILTERS, sizeof(Filter));
  make_filters(p, filters);
  return filters;
}
static void free_filters(Filter *filters) {
  for (Filter *f = filters; filters && f < filters + FILTERS; ++f) {
    free(f->factor), free(f->weight), free(f->jump), free(f->row_starts), free(f->synapse), free(f->target);
    free(f->row_factor), free(f->row_weight), free(f->row_jump), free(f->blocks);
  }
  free(filters);
}

/* -- forward ----------------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void whole_window(const Filter *f, real *s, real *future, const int weighted) {
  const real *factor = f->factor, *weight = f->weight;
  for (int64_t row = 0; row < f->targets; ++row) {
    real s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
#pragma omp simd reduction(+: s0, s1, s2, s3, s4, s5, s6, s7)
    for (int32_t i = f->starts[row]; i < f->starts[row + 1]; ++i) {
      const real a = factor[i], b = weighted ? weight[i] : 1;
      real v = s[i];
      s0 += b*v, v *= a;
      s1 += b*v, v *= a;
      s2 += b*v, v *= a;
      s3 += b*v, v *= a;
      s4 += b*v, v *= a;
      s5 += b*v, v *= a;
      s6 += b*v, v *= a;
      s7 += b*v, v *= a;
      s[i] = v;
    }
    real *sums = future + row*WINDOW;
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3, sums[4] = s4, sums[5] = s5, sums[6] = s6, sums[7] = s7;
  }
}
static void short_window(const Filter *f, real *s, real *future, int64_t length, int weighted) {
  for (int64_t row = 0; row < f->targets; ++row)
    for (int64_t m = 0; m < length; ++m) {
      real sum = 0;
#pragma omp simd reduction(+: sum)
      for (int32_t i = f->starts[row]; i < f->starts[row + 1]; ++i) {
        sum += weighted ? f->weight[i]*s[i] : s[i];
        s[i] *= f->factor[i];
      }
      future[row*WINDOW + m] = sum;
    }
}
/* Sums of this step. States are those at the end of the window, which ends at the latest where states are kept. */
static void filter_sums(Work *w, const Filter *f, Filtering *g, real *s, real *sums, int64_t k, int weighted) {
  const Problem *p = w->p;
  if (g->place == g->length) {
    const int64_t step = k - p->first, next = (step/p->segment + 1)*p->segment;
    const int64_t left = (next < p->steps ? next : p->steps) - step;
    g->place = 0, g->length = left < WINDOW ? left : WINDOW;
    if (g->length < WINDOW) short_window(f, s, g->future, g->length, weighted);
    else if (weighted) whole_window(f, s, g->future, 1);
    else whole_window(f, s, g->future, 0);
  }
  for (int64_t row = 0; row < f->targets; ++row) sums[row] += g->future[row*WINDOW + g->place];
  ++g->place;
}
static void filter_events(Work *w, const Filter *f, Filtering *g, real *s, int64_t event, int64_t route, int weighted) {
  const Problem *p = w->p;
  const Lists *l = &w->trial->spikes[event];
  const int64_t sources = p->event_size[event];
  for (int64_t d = 0; d < p->delay_count[route]; ++d) {
    const int64_t q = l->count - 1 - p->delays[route][d];
    for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) {
      const int32_t *row = f->row_starts + d*(sources + 1) + l->items[e];
      for (int32_t r = row[0]; r < row[1] && f->synapse[r] >= 0; ++r) {
        real v = f->row_jump[r], *sums = g->future + f->target[r]*WINDOW;
        const real a = f->row_factor[r], b = weighted ? f->row_weight[r] : 1;
        for (int64_t m = g->place; m < g->length; ++m, v *= a) sums[m] += b*v;
        s[f->synapse[r]] += v;
      }
    }
  }
}

/* A window begins where states are recalled. */
static void start_window(Work *w) {
  for (Filtering *g = w->filtering; g < w->filtering + FILTERS; ++g) g->place = g->length = 0;
}

/* -- backward ---------------------------------------------------------------------------------------------------- */

/* A worker's own part of the filters, with what the backward pass needs. */
static void start_filtering(Work *w, int64_t backward) {
  w->filtering = calloc(FILTERS, sizeof(Filtering));
  for (int64_t j = 0; j < FILTERS - 1; ++j) {
    const Filter *f = w->simulation->filters + j;
    Filtering *g = w->filtering + j;
    const size_t bytes = f->places*sizeof(real) + 64;
    g->future = malloc(f->targets*WINDOW*sizeof(real));
    if (!backward) continue;
    g->lambda = malloc(bytes), g->mu = malloc(bytes), g->nu = malloc(bytes);
    g->d_factor = calloc(1, bytes), g->d_jump = calloc(1, bytes), g->d_weight = calloc(1, bytes);
    g->stride = (f->targets/CHUNK + 1)*CHUNK + MARGIN;
    g->history = calloc(HISTORY*g->stride + MARGIN, sizeof(real)), g->done = calloc(f->rows, sizeof(int64_t));
  }
}
static void end_filtering(Work *w) {
  for (Filtering *g = w->filtering; g < w->filtering + FILTERS; ++g) {
    free(g->future), free(g->lambda), free(g->mu), free(g->nu), free(g->history);
    free(g->d_factor), free(g->d_weight), free(g->d_jump), free(g->done);
  }
  free(w->filtering);
}

/* Bring a row up to date. */
static inline __attribute__((always_inline)) void take_history(const Filter *f, Filtering *g, int64_t row,
                                                               const int weighted) {
  const int64_t begin = f->row_starts[row], n = (f->row_starts[row + 1] - begin)/CHUNK*CHUNK;
  real *restrict lambda = g->lambda + begin, *restrict mu = g->mu + begin, *restrict nu = g->nu + begin;
  const real *restrict factor = f->row_factor + begin, *restrict weight = f->row_weight + begin;
  const int32_t *restrict target = f->target + begin;
  for (int64_t h = g->done[row]; h < g->pending; ++h) {
    const real *restrict given = g->history + h*g->stride;
#pragma omp simd
    for (int64_t r = 0; r < n; ++r) {
      const real a = factor[r], upstream = given[target[r]], l = lambda[r];
      mu[r] = l + a*mu[r];
      lambda[r] = a*l + (weighted ? weight[r]*upstream : upstream);
      if (weighted) nu[r] = a*nu[r] + upstream;
    }
  }
  g->done[row] = g->pending;
}
#if defined(__AVX512F__) && SINGLE
/* The same for one chunk, by permutations. */
static inline __attribute__((always_inline)) void take_chunk(const Filter *f, Filtering *g, int64_t r, int64_t first,
                                                             int64_t last, const int32_t blocks) {
  const int32_t base = f->target[r];
  const __m512i place = _mm512_sub_epi32(_mm512_loadu_si512(f->target + r), _mm512_set1_epi32(base));
  const __m512i block = _mm512_srli_epi32(place, 5);
  const __m512 a = _mm512_loadu_ps(f->row_factor + r);
  __m512 l = _mm512_loadu_ps(g->lambda + r), m = _mm512_loadu_ps(g->mu + r);
  __mmask16 here[MOST_BLOCKS];
  UNROLL for (int32_t j = 1; j < blocks; ++j) here[j] = _mm512_cmpeq_epi32_mask(block, _mm512_set1_epi32(j));
  const float *given = g->history + first*g->stride + base;
  for (int64_t h = first; h < last; ++h, given += g->stride) {
    __m512 upstream = _mm512_permutex2var_ps(_mm512_loadu_ps(given), place, _mm512_loadu_ps(given + 16));
    UNROLL for (int32_t j = 1; j < blocks; ++j) {
      const __m512 low = _mm512_loadu_ps(given + 32*j), high = _mm512_loadu_ps(given + 32*j + 16);
      upstream = _mm512_mask_mov_ps(upstream, here[j], _mm512_permutex2var_ps(low, place, high));
    }
    m = _mm512_fmadd_ps(a, m, l);
    l = _mm512_fmadd_ps(a, l, upstream);
  }
  _mm512_storeu_ps(g->lambda + r, l), _mm512_storeu_ps(g->mu + r, m);
}
#define TAKE_ROW(blocks) \
  case blocks: for (; r < end; r += CHUNK) take_chunk(f, g, r, g->done[row], g->pending, blocks); break;
static void take_history_nearby(const Filter *f, Filtering *g, int64_t row) {
  int64_t r = f->row_starts[row], end = f->row_starts[row + 1];
  switch (f->blocks[row]) {
    TAKE_ROW(1) TAKE_ROW(2) TAKE_ROW(3) TAKE_ROW(4) TAKE_ROW(5) TAKE_ROW(6) TAKE_ROW(7) TAKE_ROW(8)
  }
  g->done[row] = g->pending;
}
#endif
static void bring_up_to_date(const Filter *f, Filtering *g, int64_t row, int weighted) {
  if (g->done[row] == g->pending) return;
#if defined(__AVX512F__) && SINGLE
  if (f->blocks && !weighted) { take_history_nearby(f, g, row); return; }
#endif
  if (weighted) take_history(f, g, row, 1);
  else take_history(f, g, row, 0);
}
static void bring_all_up_to_date(const Filter *f, Filtering *g, int weighted) {
  for (int64_t row = 0; row < f->rows; ++row) bring_up_to_date(f, g, row, weighted);
  memset(g->done, 0, f->rows*sizeof(int64_t));
  g->pending = 0;
}

static void begin_filter_gradients(const Filter *f, Filtering *g, const real *given) {
  for (int64_t r = 0; r < f->places; ++r) g->lambda[r] = f->synapse[r] < 0 ? 0 : given[f->synapse[r]];
  memset(g->mu, 0, f->places*sizeof(real)), memset(g->nu, 0, f->places*sizeof(real));
  memset(g->done, 0, f->rows*sizeof(int64_t));
  g->pending = 0;
}
/* What the gradient of the sums of this step adds; the decay of this step has gone before. */
static void keep_sum_gradients(const Filter *f, Filtering *g, const real *given, int weighted) {
  if (g->pending == HISTORY) bring_all_up_to_date(f, g, weighted);
  memcpy(g->history + g->pending++*g->stride, given, f->targets*sizeof(real));
}
/* An event has arrived at a row. */
static void arrive_back(const Filter *f, Filtering *g, int64_t row, int weighted) {
  const int64_t begin = f->row_starts[row], n = (f->row_starts[row + 1] - begin)/CHUNK*CHUNK;
  const real *restrict jump = f->row_jump + begin, *restrict lambda = g->lambda + begin, *restrict mu = g->mu + begin;
  real *restrict d_jump = g->d_jump + begin, *restrict d_factor = g->d_factor + begin;
#pragma omp simd
  for (int64_t r = 0; r < n; ++r) d_jump[r] += lambda[r], d_factor[r] += jump[r]*mu[r];
  const real *restrict nu = g->nu + begin;
  real *restrict d_weight = g->d_weight + begin;
#pragma omp simd
  for (int64_t r = 0; r < n*weighted; ++r) d_weight[r] += jump[r]*nu[r];
}
/* Gradients of what the events of this step change, and of the events themselves. */
static void filter_event_gradients(Work *w, const Filter *f, Filtering *g, int64_t event, int64_t route, int weighted,
                                   int varied) {
  const Problem *p = w->p;
  const Lists *l = &w->trial->spikes[event];
  const int64_t sources = p->event_size[event];
  for (int64_t d = 0; d < p->delay_count[route]; ++d) {
    const int64_t q = l->count - 1 - p->delays[route][d], first = d*(sources + 1);
    for (int64_t e = l->ends[q]; e < l->ends[q + 1]; ++e) {
      bring_up_to_date(f, g, first + l->items[e], weighted);
      arrive_back(f, g, first + l->items[e], weighted);
    }
    real *upstream = ring_slot(w, event, q);
    const uint8_t *wanted = marked(w, event, q);
    for (int64_t j = 0; varied && j < sources; ++j) {
      if (!wanted[j]) continue;
      const int64_t row = first + j, begin = f->row_starts[row];
      bring_up_to_date(f, g, row, weighted);
      upstream[j] += dot(f->row_jump + begin, g->lambda + begin, f->row_starts[row + 1] - begin);
    }
  }
}
/* Gradients of the state at the start, and what it says about the factors. */
static void end_filter_gradients(const Filter *f, Filtering *g, const real *start, real *gradient, int weighted) {
  bring_all_up_to_date(f, g, weighted);
  for (int64_t r = 0; r < f->places; ++r) {
    if (f->synapse[r] < 0) continue;
    const real s = start[f->synapse[r]];
    gradient[f->synapse[r]] = g->lambda[r];
    g->d_factor[r] += s*g->mu[r];
    g->d_weight[r] += s*g->nu[r];
  }
}
/* What is at the places of the rows, in the order of the states. */
static void in_state_order(const Filter *f, real *values) {
  real *laid = malloc(f->places*sizeof(real) + 64);
  memcpy(laid, values, f->places*sizeof(real));
  for (int64_t r = 0; r < f->places; ++r)
    if (f->synapse[r] >= 0) values[f->synapse[r]] = laid[r];
  free(laid);
}

/* What every kernel needs: its arguments, the memory of a worker, spike lists, a tape, rows of random numbers. */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX512F__) && SINGLE
#include <immintrin.h> /* for filters.c; takes as long to compile as a small kernel */
#elif defined(__SSE2__)
#include <emmintrin.h>
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

/* The synapses of a matrix, column by column. */
typedef struct {
  const void *weights;
  const int32_t *sources; /* times CHUNK */
  const int32_t *starts;
} Sparse;

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
  const int32_t *const *synapses, *const *route_starts;
  const int64_t *const *delays;
  const int64_t *delay_count;
  void *const *grids;
  const int64_t *grid_offsets;
  const int32_t *const *grid_indices;
  const Sparse *sparse;
  void *const *reciprocals;
  const int32_t *const *sorted_starts; /* of sorted synapses: where those of a neuron begin */
  const int32_t *const *under_way; /* of the routes: places that events under way at the start reach, step by step */
  const int64_t *const *under_way_ends, *under_way_first, *under_way_steps;
  int64_t *twice; /* 1 + a route in which two events reached one synapse at once */
  const int32_t *const *fan_out_starts, *const *fan_out_synapses, *const *fan_out_places;
  const int64_t *fan_out_columns, *fan_out_span; /* of the routes; zero where there is no fan-out */
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

typedef struct Filter Filter; /* of filters.c */
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
  real **fan_out_rows; /* of the routes: gradients at their targets, of the last steps */
  real *buffer, *zeros;
  int64_t length; /* of a buffer */
  real *interleaved; /* two buffers, whose elements have the values of many trials side by side */
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

static inline char *tape_end(Work *w, int64_t bytes) {
  if (w->tape_used + bytes > w->tape_room) {
    w->tape_room = 2 * w->tape_room + bytes;
    w->tape = room(w->tape, w->tape_room);
  }
  w->tape_used += bytes;
  return w->tape + w->tape_used - bytes;
}
/* A long tape does not stay in the cache: it is written past it, where nothing has to be read before. That needs places
 * of whole vectors (of 16 bytes), which arrays have as long as no element of a synapse is on the tape. */
#define CACHED_TAPE (1 << 20)
#define WHOLE(bytes) (((bytes) + 15) & ~(int64_t)15)
static void push(Work *w, const void *data, int64_t bytes) {
  char *to = tape_end(w, WHOLE(bytes));
#ifdef __SSE2__
  if (w->tape_room > CACHED_TAPE && (intptr_t)to % 16 == 0) {
    for (int64_t j = 0; j < bytes; j += 16)
      _mm_stream_si128((__m128i *)(to + j), _mm_loadu_si128((const __m128i *)((const char *)data + j)));
    return;
  }
#endif
  memcpy(to, data, bytes);
}
static void pop(Work *w, void *data, int64_t bytes) {
  w->tape_used -= WHOLE(bytes);
  memcpy(data, w->tape + w->tape_used, bytes);
}
static inline void push_element(Work *w, const void *data, int64_t bytes) { memcpy(tape_end(w, bytes), data, bytes); }
static inline void pop_element(Work *w, void *data, int64_t bytes) {
  w->tape_used -= bytes;
  memcpy(data, w->tape + w->tape_used, bytes);
}
/* The same of those elements only that have the last event. */
static void push_at_events(Work *w, int64_t e, const void *data, int64_t size) {
  const Lists *l = &w->trial->spikes[e];
  const int64_t begin = l->ends[l->count - 1], count = l->ends[l->count] - begin;
  char *end = tape_end(w, WHOLE(count*size));
  for (int64_t j = 0; j < count; ++j) memcpy(end + j*size, (const char *)data + l->items[begin + j]*size, size);
}
static void pop_at_events(Work *w, int64_t e, void *data, int64_t size) {
  const Lists *l = &w->trial->spikes[e];
  const int64_t begin = l->ends[l->count - 1], count = l->ends[l->count] - begin;
  w->tape_used -= WHOLE(count*size);
  for (int64_t j = 0; j < count; ++j)
    memcpy((char *)data + l->items[begin + j]*size, w->tape + w->tape_used + j*size, size);
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
typedef struct { const int32_t *next, *end; } UnderWay;
static UnderWay events_under_way(const Problem *p, int64_t route, int64_t k) {
  const int64_t row = k - p->under_way_first[route];
  if (row < 0 || row >= p->under_way_steps[route]) return (UnderWay){NULL, NULL};
  return (UnderWay){p->under_way[route] + p->under_way_ends[route][row],
                    p->under_way[route] + p->under_way_ends[route][row + 1]};
}
static int any_under_way(const Problem *p, int64_t route, int64_t k) {
  const UnderWay l = events_under_way(p, route, k);
  return l.next < l.end;
}
/* Whether the next of them, or the last one going backward, is in a row, or at a place; then it is taken. */
static inline int under_way_in_row(const UnderWay *l, const int32_t *row, int backward) {
  if (l->next >= l->end) return 0;
  return backward ? l->end[-1] >= row[0] : *l->next < row[1];
}
static inline int take_under_way(UnderWay *l, int32_t r, int backward) {
  if (l->next >= l->end || (backward ? l->end[-1] : *l->next) != r) return 0;
  if (backward) --l->end; else ++l->next;
  return 1;
}

/* Where the gradients go that what arrives in a step has at the targets. Each row is kept twice, one whole ring
 * after the other, so that those of any successive steps lie in one piece. */
static real *fan_out_row(Work *w, int64_t route, int64_t t) {
  return w->fan_out_rows[route] + (t % w->p->fan_out_span[route])*w->p->fan_out_columns[route];
}
static const real *close_fan_out_row(Work *w, int64_t route, int64_t t) {
  const int64_t columns = w->p->fan_out_columns[route];
  real *row = fan_out_row(w, route, t);
  memcpy(row + w->p->fan_out_span[route]*columns, row, columns*sizeof(real));
  return row;
}
/* Nothing arrives before the start, but events from before it have gradients. */
static void flush_fan_out(Work *w, int64_t route, int64_t e, int64_t offset, void (*sum)(Work *, int64_t, int64_t)) {
  const Problem *p = w->p;
  if (!p->grad_history_in[e]) return;
  for (int64_t t = w->trial->spikes[e].count - 1 - offset; t >= p->delays[route][p->delay_count[route] - 1]; --t) {
    memset(fan_out_row(w, route, t), 0, p->fan_out_columns[route]*sizeof(real));
    sum(w, route, t);
  }
}

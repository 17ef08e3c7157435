/* The loops over trials, segments and steps.
 *
 * Trials are independent of each other; each is simulated by one thread from the first step to the last, so
 * that no thread ever waits for another. The backward pass undoes the steps one by one: what a step overwrites
 * is on the tape, and where the tape would grow too long it is made anew, one segment after the other, from
 * the states kept between them. */
static void begin_filters(Work *w, const Problem *p, const Filter *f, Filtering *g);
static void end_filters(Work *w, const Problem *p, const Filter *f, Filtering *g);
static void finish_filters(Work *w, const Problem *p, const Filter *f, Filtering *g);
static void finish_backward(Work *lanes);
static void flush_fan_outs(Work *w);
static void step_forward(Work *lanes, int64_t count, int64_t k);
static void step_backward(Work *lanes, int64_t count, int64_t k);

static int64_t segments(const Problem *p) { return (p->steps + p->segment - 1) / p->segment; }

static void start_work(Work *w, Simulation *s, int64_t thread, int64_t backward) {
  const Problem *p = s->p;
  memset(w, 0, sizeof *w);
#ifdef __SSE2__
  w->rounding = _mm_getcsr();
  if (sizeof(real) == 4) _mm_setcsr(w->rounding | 0x8040); /* numbers too small for full precision are zero */
#endif
  w->p = p, w->simulation = s;
  w->state = calloc(1, p->block + 64);
  w->length = buffer_length(p);
  w->buffer = malloc(buffer_count()*w->length*sizeof(real) + 64);
  w->zeros = calloc(w->length, sizeof(double)); /* gradients of a record may be in double precision */
  w->gradient = p->gradient ? p->gradient + thread * p->gradients : NULL;
  w->random = calloc(p->places + 1, sizeof(Row));
  w->ring = calloc(p->events + 1, sizeof(char *));
  w->spiked = calloc(p->events + 1, sizeof(uint8_t *));
  w->fan_out_rows = calloc(p->routes + 1, sizeof(real *));
  int64_t largest = 0;
  for (int64_t e = 0; e < p->events; ++e) {
    w->spiked[e] = calloc(1, p->event_size[e] + 64);
    if (p->event_size[e] > largest) largest = p->event_size[e];
  }
  w->all = memset(malloc(largest + 64), 1, largest + 64);
  start_filtering(w, backward);
}
static void end_work(Work *w) {
#ifdef __SSE2__
  _mm_setcsr(w->rounding);
#endif
  for (int64_t e = 0; e < w->p->events; ++e) free(w->ring[e]), free(w->spiked[e]);
  for (int64_t r = 0; r < w->p->routes; ++r) free(w->fan_out_rows[r]);
  for (int64_t j = 0; j < PRODUCTS; ++j) free(w->products[j]);
  for (int64_t j = 0; j < w->p->places; ++j) {
    if (w->random[j].ordered != w->random[j].numbers) free(w->random[j].ordered);
    free(w->random[j].numbers), free(w->random[j].drawn);
  }
  free(w->state), free(w->adjoint), free(w->buffer), free(w->interleaved), free(w->zeros), free(w->all), free(w->ring);
  free(w->spiked), free(w->random), free(w->fan_out_rows);
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
#ifdef __SSE2__
  _mm_sfence(); /* another thread may read the tape */
#endif
  if (p->taping) keep(w, segments(p));
  w->trial->tape = w->tape, w->trial->tape_used = w->tape_used, w->trial->tape_room = w->tape_room;
  end_trial(w);
  if (!p->taping) free_trial(p->events, w->trial);
}

static void forward_trials(Work *lanes, int64_t count, int64_t b) {
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

/* Nobody is left who could take it. */
void forget_spare(void) {
  Simulation *before = NULL;
#pragma omp critical(spare)
  before = spare, spare = NULL;
  if (before) free_simulation(before);
}
int has_spare(void) { return spare != NULL; }

/* How many events of a kind there were in all trials. */
int64_t events_sent(const Simulation *s, int64_t e) {
  int64_t sum = 0;
  for (int64_t b = 0; b < s->batch; ++b) sum += s->trials[b].spikes[e].ends[s->trials[b].spikes[e].count];
  return sum;
}

Simulation *run_forward(const Problem *p) {
  Simulation *s = start_simulation(p);
#pragma omp parallel num_threads(p->threads)
  {
    Work *lanes = calloc(p->lanes, sizeof(Work));
    for (int64_t m = 0; m < p->lanes; ++m) start_work(lanes + m, s, omp_get_thread_num(), 0);
#pragma omp for schedule(static)
    for (int64_t b = 0; b < p->batch; b += p->lanes)
      forward_trials(lanes, b + p->lanes < p->batch ? p->lanes : p->batch - b, b);
    for (int64_t m = p->lanes - 1; m >= 0; --m) end_work(lanes + m);
    free(lanes);
  }
  return s;
}

static int64_t fan_out_bytes(const Problem *p, int64_t route) {
  return 2*p->fan_out_span[route]*p->fan_out_columns[route]*sizeof(real);
}

static void begin_backward(Work *w) {
  const Problem *p = w->p;
  memset(w->adjoint, 0, p->block);
  copy_states(w, p->grad_state_out, w->adjoint);
  begin_filters(w, p, w->simulation->filters, w->filtering);
  for (int64_t r = 0; r < p->routes; ++r) memset(w->fan_out_rows[r], 0, fan_out_bytes(p, r));
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
  flush_fan_outs(w);
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

static void backward_trials(Work *lanes, int64_t count, int64_t b) {
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
      for (int64_t r = 0; r < p->routes; ++r) w->fan_out_rows[r] = malloc(fan_out_bytes(p, r) + 64);
    }
#pragma omp for schedule(static)
    for (int64_t b = 0; b < p->batch; b += p->lanes)
      backward_trials(lanes, b + p->lanes < p->batch ? p->lanes : p->batch - b, b);
    finish_backward(lanes);
    for (Work *w = lanes; w < lanes + p->lanes; ++w) finish_filters(w, p, s->filters, w->filtering);
    for (int64_t m = p->lanes - 1; m >= 0; --m) free(lanes[m].tape), end_work(lanes + m);
    free(lanes);
  }
  s->p = before;
}

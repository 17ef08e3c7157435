/* Dense products, for several trials at once. */
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
#define ADD_COLUMNS(M, W) case W: add_rows(grid, rows, columns, vectors + first, out + first, column, W, M); break;
#define ADD_ROWS(M) \
  case M: \
    switch (W) { ADD_COLUMNS(M, 1) ADD_COLUMNS(M, 2) ADD_COLUMNS(M, 3) ADD_COLUMNS(M, WIDTH) } \
    break;
/* Vectors of some trials side by side, so that one weight acts on all of them at once. */
static void interleave(const real *const *vectors, int64_t count, int64_t elements, real *interleaved) {
  for (int64_t m = 0; m < count; ++m)
    for (int64_t i = 0; i < elements; ++i) interleaved[i*CHUNK + m] = vectors[m][i];
}
static void add_deinterleaved(const real *interleaved, int64_t count, int64_t elements, real *const *out) {
  for (int64_t m = 0; m < count; ++m)
    for (int64_t i = 0; i < elements; ++i) out[m][i] += interleaved[i*CHUNK + m];
}
/* Synapses are added in the order of their rows, as where all places of a grid are: neither the number of trials that
 * share them nor that of threads changes a bit of the result. Four columns at once, since an addition waits for the one
 * before it. */
static inline chunk add_synapses(const Sparse *s, int32_t first, int32_t end, const real *interleaved, chunk sum) {
  const real *weights = s->weights;
  for (int32_t i = first; i < end; ++i) sum += weights[i]*(*(const chunk *)(interleaved + s->sources[i]));
  return sum;
}
static void four_sparse_columns(const Sparse *s, const int32_t *starts, const real *interleaved, real *made) {
  const real *weights = s->weights;
  chunk sums[4] = {{0}, {0}, {0}, {0}};
  int32_t shortest = INT32_MAX;
  for (int j = 0; j < 4; ++j)
    if (starts[j + 1] - starts[j] < shortest) shortest = starts[j + 1] - starts[j];
  for (int32_t i = 0; i < shortest; ++i)
    UNROLL for (int j = 0; j < 4; ++j)
      sums[j] += weights[starts[j] + i]*(*(const chunk *)(interleaved + s->sources[starts[j] + i]));
  UNROLL for (int j = 0; j < 4; ++j)
    *(chunk *)(made + j*CHUNK) = add_synapses(s, starts[j] + shortest, starts[j + 1], interleaved, sums[j]);
}
static void multiply_sparse(const Sparse *s, Work *lanes, int64_t rows, int64_t columns, int64_t count,
                            const real *const *vectors, real *const *out) {
  if (!lanes->interleaved) lanes->interleaved = aligned_alloc(64, 2*lanes->length*64);
  real *given = lanes->interleaved, *made = given + lanes->length*CHUNK;
  for (int64_t first = 0; first < count; first += CHUNK) {
    const int64_t some = first + CHUNK < count ? CHUNK : count - first;
    interleave(vectors + first, some, rows, given);
    int64_t column = 0;
    for (; column + 4 <= columns; column += 4) four_sparse_columns(s, s->starts + column, given, made + column*CHUNK);
    for (; column < columns; ++column)
      *(chunk *)(made + column*CHUNK) = add_synapses(s, s->starts[column], s->starts[column + 1], given, (chunk){0});
    add_deinterleaved(made, some, columns, out + first);
  }
}
/* Columns that stay in the cache serve all trials, in even groups. The synapses alone are faster where many trials share
 * them (looking one up takes about as long as so many places without), and where all places do not fit into the cache. */
#define SPARSE 32
#define CACHE (2 << 20)
static int sparse_is_faster(const Sparse *s, int64_t rows, int64_t columns, int64_t count) {
  if (!s) return 0;
  return count*rows*columns > SPARSE*(int64_t)s->starts[columns] || rows*columns*(int64_t)sizeof(real) > CACHE;
}
static void multiply(const Sparse *sparse, Work *lanes, const real *grid, int64_t rows, int64_t columns, int64_t count, const real *const *vectors,
                             real *const *out) {
  if (sparse_is_faster(sparse, rows, columns, count)) {
    multiply_sparse(sparse, lanes, rows, columns, count, vectors, out);
    return;
  }
  const int64_t groups = (count + TRIALS - 1)/TRIALS;
  for (int64_t column = 0, W; column < columns; column += W*CHUNK) {
    const int64_t left = (columns - column + CHUNK - 1)/CHUNK;
    W = left == WIDTH + 1 ? WIDTH - 1 : left < WIDTH ? left : WIDTH; /* a single one would wait for its own additions */
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t first = group*count/groups;
      switch ((group + 1)*count/groups - first) {
        ADD_ROWS(1) ADD_ROWS(2) ADD_ROWS(3) ADD_ROWS(4) ADD_ROWS(5) ADD_ROWS(6)
      }
    }
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
static void multiply_narrow(const real *transposed, int64_t rows, int64_t columns, int64_t count,
                            const real *const *vectors, real *const *out) {
  for (int64_t column = 0; column < columns; ++column)
    for (int64_t m = 0; m < count; ++m) out[m][column] += dot(transposed + column*rows, vectors[m], rows);
}
/* Products of the rows of a grid with vectors, for the rows that are `wanted`: one by one where these are few, since the
 * product with the transposed grid makes all. */
static void multiply_wanted(const Sparse *sparse, Work *lanes, const real *grid, const real *transposed, int64_t rows,
                            int64_t columns, int64_t count, const real *const *vectors, real *const *sums,
                            real *const *out, const uint8_t *const *wanted) {
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
  multiply(sparse, lanes, transposed, columns, rows, count, vectors, sums);
  for (int64_t m = 0; m < count; ++m)
    for (int64_t row = 0; row < rows; ++row) out[m][row] += sums[m][row];
}

/* Gradient of a matrix: outer products of pairs of vectors, of many steps and trials at once, so that the matrix
 * itself is not read and written for every one of them. The vectors are kept in panels of as many elements as are
 * worked on together, one pair after the other, since rows whose lengths are powers of two evict each other. */
#define DEPTH 48
#define ROWS 4
#define PANEL (WIDTH*CHUNK)
static inline int64_t panels(int64_t elements, int64_t width) { return (elements + width - 1)/width; }
static inline __attribute__((always_inline)) void add_panel(const real *a, const real *b, int64_t depth, real *gradient,
                                                            int64_t row, int64_t rows, int64_t column, int64_t columns) {
  chunk sums[ROWS][WIDTH];
  UNROLL for (int r = 0; r < ROWS; ++r)
    UNROLL for (int j = 0; j < WIDTH; ++j) sums[r][j] = (chunk){0};
  for (int64_t d = 0; d < depth; ++d) {
    chunk right[WIDTH];
    UNROLL for (int j = 0; j < WIDTH; ++j) right[j] = *(const chunk *)(b + d*PANEL + j*CHUNK);
    UNROLL for (int r = 0; r < ROWS; ++r) {
      const real left = a[d*ROWS + r];
      UNROLL for (int j = 0; j < WIDTH; ++j) sums[r][j] += left*right[j];
    }
  }
  UNROLL for (int r = 0; r < ROWS; ++r) {
    if (row + r >= rows) break;
    real *to = gradient + (row + r)*columns + column;
    UNROLL for (int j = 0; j < WIDTH; ++j) {
      if (column + (j + 1)*CHUNK <= columns) *(chunk *)(to + j*CHUNK) += sums[r][j];
      else for (int64_t i = 0; column + j*CHUNK + i < columns; ++i) to[j*CHUNK + i] += sums[r][j][i];
    }
  }
}
static void add_products(Work *lanes, int64_t number, int64_t rows, int64_t columns, real *gradient) {
  const real *a = lanes->products[number], *b = a + panels(rows, ROWS)*DEPTH*ROWS;
  const int64_t depth = lanes->product_count[number];
  for (int64_t column = 0; depth && column < columns; column += PANEL)
    for (int64_t row = 0; row < rows; row += ROWS)
      add_panel(a + row*DEPTH, b + column*DEPTH, depth, gradient, row, rows, column, columns);
  lanes->product_count[number] = 0;
}
static void keep_panels(real *kept, const real *v, int64_t elements, int64_t width, int64_t depth) {
  for (int64_t first = 0; first < elements; first += width) {
    const int64_t count = first + width <= elements ? width : elements - first;
    memcpy(kept + first*DEPTH + depth*width, v + first, count*sizeof(real));
  }
}
static void keep_product(Work *lanes, int64_t number, int64_t rows, int64_t columns, const real *a, const real *b,
                         real *gradient) {
  const int64_t first = panels(rows, ROWS)*DEPTH*ROWS;
  if (!lanes->products[number])
    lanes->products[number] = calloc(first + panels(columns, PANEL)*DEPTH*PANEL, sizeof(real));
  const int64_t depth = lanes->product_count[number]++;
  keep_panels(lanes->products[number], a, rows, ROWS, depth);
  keep_panels(lanes->products[number] + first, b, columns, PANEL, depth);
  if (depth + 1 == DEPTH) add_products(lanes, number, rows, columns, gradient);
}

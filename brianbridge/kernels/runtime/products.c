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

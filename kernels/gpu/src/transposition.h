/*
 * transposition.h: elements that lie beside each other along one axis of x and along another of y,
 * from one dtype to another. A group moves TILE x TILE of them through local memory, so that
 * neighbours read neighbours and write neighbours.
 *
 * Columns lie beside each other in x, rows in y; images are what the other axes make, at most RANK.
 */
#define TILE 32

typedef struct {
  int rows, columns, row_step, column_step;
  int extents[RANK], x_strides[RANK], y_strides[RANK];
  int x_offset, y_offset;
} transposition_parameters;

KERNEL(GROUP_ITEMS)
void transposition(INPUT(TYPE_A) x, OUTPUT(TYPE_Y) y, const transposition_parameters p) {
  /* Rows are longer than they need be, so that what lies in a column lies in several banks. */
  LOCAL REAL(TYPE_A) tile[TILE][TILE + 1];
  const int across = ITEM(0) % TILE, down = ITEM(0) / TILE;
  const int tiles_across = (p.columns + TILE - 1) / TILE, tiles_down = (p.rows + TILE - 1) / TILE;
  const int first_column = GROUP(0) % tiles_across * TILE;
  const int first_row = GROUP(0) / tiles_across % tiles_down * TILE;
  int rest = GROUP(0) / tiles_across / tiles_down, x_at = p.x_offset, y_at = p.y_offset;
  for (int axis = RANK - 1; axis >= 0; axis--) {
    const int quotient = rest / p.extents[axis], place = rest - quotient * p.extents[axis];
    x_at += place * p.x_strides[axis];
    y_at += place * p.y_strides[axis];
    rest = quotient;
  }
  for (int i = down; i < TILE; i += GROUP_ITEMS / TILE) {
    const int row = first_row + i, column = first_column + across;
    if (row < p.rows && column < p.columns)
      tile[i][across] = LOAD(TYPE_A, x, x_at + row * p.row_step + column);
  }
  BARRIER();
  for (int i = down; i < TILE; i += GROUP_ITEMS / TILE) {
    const int row = first_row + across, column = first_column + i;
    if (row < p.rows && column < p.columns)
      STORE(TYPE_Y, y, y_at + column * p.column_step + row, tile[across][i]);
  }
}

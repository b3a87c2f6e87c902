/* indices.h: the place that an index names along an axis, -1 beyond its ends; negative ones count
 * from the end. */
DEVICE int place_of(int64 index, int extent) {
  const int64 place = index < 0 ? index + extent : index;
  return place >= 0 && place < extent ? (int)place : -1;
}

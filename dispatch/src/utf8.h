/* utf8.h: the bytes of one character. */
#ifndef DISPATCH_UTF8_H
#define DISPATCH_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Writes a code point (not a surrogate) and returns its bytes, 1 to 4. */
static inline size_t utf8_encode(uint32_t code, char *out) {
  size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
  out[0] = (char)(lead[length] | code);
  return length;
}

/* Bytes of the valid character at `text`, or 0: overlong forms, surrogates and
 * code points above U+10FFFF aren't valid. */
static inline size_t utf8_length(const char *text, const char *end) {
  const uint8_t *s = (const uint8_t *)text;
  size_t length = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
  if (s[0] > 0xF4 || length > (size_t)(end - text)) return 0;
  for (size_t i = 1; i < length; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
      (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
    return 0;
  return length;
}

#endif

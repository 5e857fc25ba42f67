// SPDX-License-Identifier: Apache-2.0
// Sums of up to 4095 floats between 0 and 1, as whole numbers of 2^-52: WGSL has no doubles.
struct Fixed { high: u32, low: u32 }

fn plus(a: Fixed, b: Fixed) -> Fixed {
  let low = a.low + b.low;
  return Fixed(a.high + b.high + select(0u, 1u, low < a.low), low);
}
fn less(a: Fixed, b: Fixed) -> bool { return a.high < b.high || (a.high == b.high && a.low < b.low); }

// v * 2^n, for n between -63 and 63; bits that leave at the low end are dropped.
fn shifted(v: Fixed, n: i32) -> Fixed {
  if (n == 0) { return v; }
  let by = u32(abs(n));
  if (n > 0) {
    if (by >= 32u) { return Fixed(v.low << (by - 32u), 0u); }
    return Fixed((v.high << by) | (v.low >> (32u - by)), v.low << by);
  }
  if (by >= 32u) { return Fixed(0u, v.high >> (by - 32u)); }
  return Fixed(v.high >> by, (v.low >> by) | (v.high << (32u - by)));
}

fn mantissa(bits: u32) -> u32 { return (bits & 0x7fffffu) | 0x800000u; }
// The power of two that a mantissa counts; floats below 2^-126 count as nothing.
fn power(bits: u32) -> i32 { return i32(bits >> 23u) - 150; }

fn fixed(v: f32) -> Fixed {
  let bits = bitcast<u32>(v);
  let n = power(bits) + 52;
  if (n < -31 || bits < 0x800000u) { return Fixed(0u, 0u); }
  return shifted(Fixed(0u, mantissa(bits)), n);
}

// v * part, for a part between 0 and 1 and v below 2^61.
fn share(v: Fixed, part: f32) -> Fixed {
  let bits = bitcast<u32>(part);
  if (bits < 0x800000u) { return Fixed(0u, 0u); }
  // Four products of sixteen bits, [limb] * 2^(16 limb), of a mantissa of two limbs and a number of four.
  let m = vec2<u32>(mantissa(bits) & 0xffffu, mantissa(bits) >> 16u);
  let n = vec4<u32>(v.low & 0xffffu, v.low >> 16u, v.high & 0xffffu, v.high >> 16u);
  var limbs: array<u32, 6>;
  var carry = 0u;
  for (var i = 0u; i < 6u; i++) {
    var sum = carry & 0xffffu;
    carry = carry >> 16u;
    for (var j = 0u; j < 2u; j++) {
      if (i >= j && i - j < 4u) {
        let product = m[j] * n[i - j];
        sum += product & 0xffffu;
        carry += product >> 16u;
      }
    }
    limbs[i] = sum & 0xffffu;
    carry += sum >> 16u;
  }
  // Less the mantissa's 24 bits; what part lacks to a half.
  let high = (limbs[5] << 24u) | (limbs[4] << 8u) | (limbs[3] >> 8u);
  let low = (limbs[3] << 24u) | (limbs[2] << 8u) | (limbs[1] >> 8u);
  return shifted(Fixed(high, low), max(power(bits) + 24, -63));
}

//! Inversion modulo an odd modulus, fast and in variable time: for numbers that a random factor hides.
//!
//! The "division steps" of Bernstein and Yang (<https://gcd.cr.yp.to/papers.html#safegcd>): a greatest common divisor that looks at
//! the lowest bits only. 62 steps at a time are worked out on one limb of each number, as a 2 x 2 matrix of integers; then the
//! matrix is applied to the whole numbers, and to the two cofactors modulo the modulus.
//!
//! Whoever calls this multiplies the result by the number: what isn't an inverse never gets further.

/// Bits of a limb. Limbs are the digits of a number, least significant first: from 0 to 2^62 - 1, except the last, which has the sign.
const BITS: u32 = 62;
const MASK: i64 = (1 << BITS) - 1;
/// Limbs of a 4,096-bit number with a sign, and room for twice its value.
const LIMBS: usize = 67;

type Limbs = [i64; LIMBS];

/// What 62 steps do to (f, g), times 2^62. The sum of a row's absolute values is 2^62 at most.
struct Matrix {
    f: (i64, i64),
    g: (i64, i64),
}

/// The inverse of `number` modulo `modulus`; big-endian, as long as the modulus, which is odd. `None` when there is none.
///
/// Time depends on both.
pub(crate) fn inverse(number: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let modulus_limbs = to_limbs(modulus)?;
    let size = (modulus.len() * 8 + 2).div_ceil(BITS as usize);
    let modulus = Modulus {
        limbs: modulus_limbs,
        size,
        inverse: inverse_of_odd(*modulus_limbs.first()?),
        length: modulus.len(),
    };
    let (mut f, mut g) = (modulus.limbs, to_limbs(number)?);
    // Always f = d * number and g = e * number modulo the modulus, but for a power of two that goes where the steps' does.
    let (mut d, mut e) = ([0; LIMBS], [0; LIMBS]);
    *e.first_mut()? = 1;
    let mut eta = -1;
    let mut used = size;
    // Numbers of n bits need (49 n + 57) / 17 steps at most.
    let rounds = (49 * modulus.length * 8 + 57) / 17 / BITS as usize + 1;
    for _ in 0..rounds {
        let matrix = steps(&mut eta, *f.first()?, *g.first()?);
        modulus.apply(&matrix, &mut d, &mut e);
        shift(&matrix, f.get_mut(..used)?, g.get_mut(..used)?);
        if g.iter().take(used).all(|limb| *limb == 0) {
            return modulus.finish(f.get(..used)?, d);
        }
        used = without_sign_limb(&mut f, &mut g, used)?;
    }
    None
}

struct Modulus {
    limbs: Limbs,
    size: usize,
    /// 1 / modulus modulo 2^62.
    inverse: i64,
    /// Bytes.
    length: usize,
}

impl Modulus {
    /// (d, e) become the matrix times (d, e), divided by 2^62, modulo the modulus. Both are, and stay, between minus twice the modulus
    /// and the modulus.
    fn apply(&self, matrix: &Matrix, d: &mut Limbs, e: &mut Limbs) {
        let size = self.size;
        let negative = |limbs: &Limbs| limbs.get(size - 1).is_some_and(|last| *last < 0);
        let (d_negative, e_negative) = (negative(d), negative(e));
        let low = |limbs: &Limbs| limbs.first().copied().unwrap_or(0);
        // A negative number counts as itself plus the modulus; then a multiple of the modulus makes the lowest limb zero.
        let multiple = |(a, b): (i64, i64)| {
            let added = if d_negative { a } else { 0 } + if e_negative { b } else { 0 };
            let lowest = a.wrapping_mul(low(d)).wrapping_add(b.wrapping_mul(low(e)));
            added - (self.inverse.wrapping_mul(lowest).wrapping_add(added) & MASK)
        };
        let (for_d, for_e) = (multiple(matrix.f), multiple(matrix.g));
        let (mut d_sum, mut e_sum) = (0i128, 0i128);
        let mut previous: Option<(&mut i64, &mut i64)> = None;
        for ((d, e), m) in d.iter_mut().zip(e.iter_mut()).zip(&self.limbs).take(size) {
            d_sum += product(matrix.f.0, *d) + product(matrix.f.1, *e) + product(for_d, *m);
            e_sum += product(matrix.g.0, *d) + product(matrix.g.1, *e) + product(for_e, *m);
            if let Some((d, e)) = previous {
                (*d, *e) = (d_sum as i64 & MASK, e_sum as i64 & MASK);
            }
            (d_sum, e_sum) = (d_sum >> BITS, e_sum >> BITS);
            previous = Some((d, e));
        }
        if let Some((d, e)) = previous {
            (*d, *e) = (d_sum as i64, e_sum as i64);
        }
    }

    /// The inverse, if the greatest common divisor is 1: then `f` is 1 or -1.
    fn finish(&self, f: &[i64], mut d: Limbs) -> Option<Vec<u8>> {
        let (first, rest) = f.split_first()?;
        let sign = match first {
            1 if rest.iter().all(|limb| *limb == 0) => 1,
            // -1 is all ones, up to a last limb of -1.
            &MASK
                if rest.split_last()?.1.iter().all(|limb| *limb == MASK)
                    && rest.last() == Some(&-1) =>
            {
                -1
            }
            -1 if rest.is_empty() => -1,
            _ => return None,
        };
        if d.get(self.size - 1).is_some_and(|last| *last < 0) {
            self.sum(&mut d, 1, 1);
        }
        self.sum(&mut d, sign, 0);
        if d.get(self.size - 1).is_some_and(|last| *last < 0) {
            self.sum(&mut d, 1, 1);
        }
        to_bytes(&d, self.length)
    }

    /// `number` becomes `sign * number + times * modulus`.
    fn sum(&self, number: &mut Limbs, sign: i64, times: i64) {
        let mut sum = 0i128;
        for (limb, m) in number.iter_mut().zip(&self.limbs).take(self.size) {
            sum += product(sign, *limb) + product(times, *m);
            *limb = sum as i64 & MASK;
            sum >>= BITS;
        }
        // What is left is the sign.
        if let Some(last) = number.get_mut(self.size - 1) {
            *last |= (sum as i64) << BITS;
        }
    }
}

/// 62 division steps on the lowest bits of `f` (odd) and `g`.
fn steps(eta: &mut i64, f: i64, g: i64) -> Matrix {
    let (mut f, mut g) = (f as u64, g as u64);
    let (mut u, mut v, mut q, mut r) = (1i64, 0i64, 0i64, 1i64);
    let mut left = BITS;
    loop {
        // As many halvings of g as there are zeros, and no more than are left.
        let zeros = (g | (u64::MAX << left)).trailing_zeros();
        g >>= zeros;
        (u, v) = (u << zeros, v << zeros);
        *eta -= i64::from(zeros);
        left -= zeros;
        if left == 0 {
            return Matrix { f: (u, v), g: (q, r) };
        }
        if *eta < 0 {
            *eta = -*eta;
            (f, g) = (g, f.wrapping_neg());
            (u, v, q, r) = (q, r, -u, -v);
        }
        // Adding a multiple of f to g clears as many of its low bits as there are steps without an exchange; six at most, which is
        // as far as the inverse of f below is right.
        let clear = u32::try_from(*eta + 1).unwrap_or(u32::MAX).min(left).min(6);
        let mask = (1u64 << clear) - 1;
        // f * f - 2 is -1 / (f * f) modulo 64, so that f * (f * f - 2) is -1 / f.
        let times = f.wrapping_mul(g).wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)) & mask;
        g = g.wrapping_add(f.wrapping_mul(times));
        let times = times as i64;
        (q, r) = (q + u * times, r + v * times);
    }
}

/// (f, g) become the matrix times (f, g), divided by 2^62: the lowest limbs come out as zero and fall away.
fn shift(matrix: &Matrix, f: &mut [i64], g: &mut [i64]) {
    let (mut f_sum, mut g_sum) = (0i128, 0i128);
    let mut previous: Option<(&mut i64, &mut i64)> = None;
    for (f, g) in f.iter_mut().zip(g.iter_mut()) {
        f_sum += product(matrix.f.0, *f) + product(matrix.f.1, *g);
        g_sum += product(matrix.g.0, *f) + product(matrix.g.1, *g);
        if let Some((f, g)) = previous {
            (*f, *g) = (f_sum as i64 & MASK, g_sum as i64 & MASK);
        }
        (f_sum, g_sum) = (f_sum >> BITS, g_sum >> BITS);
        previous = Some((f, g));
    }
    if let Some((f, g)) = previous {
        (*f, *g) = (f_sum as i64, g_sum as i64);
    }
}

/// Drops the last of `used` limbs while it is nothing but the sign of both numbers.
fn without_sign_limb(f: &mut Limbs, g: &mut Limbs, used: usize) -> Option<usize> {
    if used < 2 {
        return Some(used);
    }
    let is_sign = |limb: i64| limb == 0 || limb == -1;
    let (f_last, g_last) = (*f.get(used - 1)?, *g.get(used - 1)?);
    if !is_sign(f_last) || !is_sign(g_last) {
        return Some(used);
    }
    // The sign moves one limb down.
    *f.get_mut(used - 2)? |= f_last << BITS;
    *g.get_mut(used - 2)? |= g_last << BITS;
    Some(used - 1)
}

/// The inverse of an odd number modulo 2^62.
fn inverse_of_odd(odd: i64) -> i64 {
    // Newton's iteration doubles the bits that are right; an odd number is its own inverse modulo 8.
    let step = |x: i64, _| x.wrapping_mul(2i64.wrapping_sub(odd.wrapping_mul(x)));
    (0..5).fold(odd, step) & MASK
}

/// 62 times 62 bits, with signs: below 2^124.
const fn product(a: i64, b: i64) -> i128 {
    (a as i128).wrapping_mul(b as i128)
}

/// `None` when the number is longer than 4,096 bits.
fn to_limbs(bytes: &[u8]) -> Option<Limbs> {
    let mut limbs = [0; LIMBS];
    let (mut held, mut bits, mut next) = (0u128, 0, 0);
    for byte in bytes.iter().rev() {
        held |= u128::from(*byte) << bits;
        bits += 8;
        if bits >= BITS {
            *limbs.get_mut(next)? = held as i64 & MASK;
            (held, bits, next) = (held >> BITS, bits - BITS, next + 1);
        }
    }
    *limbs.get_mut(next)? = held as i64;
    (bytes.len() <= 512).then_some(limbs)
}

/// `None` when the number, not a negative one, is longer than that.
fn to_bytes(limbs: &Limbs, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut limbs = limbs.iter();
    let (mut held, mut bits) = (0u128, 0);
    for byte in bytes.iter_mut().rev() {
        if bits < 8
            && let Some(limb) = limbs.next()
        {
            held |= (*limb as u128) << bits;
            bits += BITS;
        }
        *byte = held as u8;
        (held, bits) = (held >> 8, bits.saturating_sub(8));
    }
    (held == 0 && limbs.all(|limb| *limb == 0)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Big-endian, by the schoolbook: `a * b mod modulus`.
    fn product_modulo(a: &[u8], b: &[u8], modulus: &[u8]) -> Vec<u8> {
        let modulus = crate::Modulus::new(modulus).unwrap();
        modulus.mul(a, b).unwrap().to_vec()
    }

    fn one(length: usize) -> Vec<u8> {
        let mut one = vec![0; length];
        one[length - 1] = 1;
        one
    }

    fn odd(mut bytes: Vec<u8>) -> Vec<u8> {
        *bytes.first_mut().unwrap() |= 0x80;
        *bytes.last_mut().unwrap() |= 1;
        bytes
    }

    /// Small enough to know better: every number below a modulus of 12 bits.
    #[test]
    fn small_numbers_are_inverted_exactly_if_coprime() {
        let divisor = |mut a: u32, mut b: u32| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        for modulus in [3u32, 9, 15, 255, 1155, 4093, 4095] {
            for number in 0..modulus {
                let found = inverse(&number.to_be_bytes(), &modulus.to_be_bytes());
                let found = found.map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
                match found {
                    Some(inverse) => {
                        assert!(inverse < modulus);
                        assert_eq!(inverse * number % modulus, 1, "{number} modulo {modulus}");
                    }
                    None => assert_ne!(divisor(number, modulus), 1, "{number} modulo {modulus}"),
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_are_inverted() {
        for length in [256, 257, 384, 511, 512] {
            for modulus in [odd(vec![0xff; length]), odd(vec![0; length]), odd(vec![0x5a; length])]
            {
                let mut less_one = modulus.clone();
                less_one[length - 1] ^= 1;
                assert_eq!(inverse(&one(length), &modulus), Some(one(length)));
                assert_eq!(inverse(&less_one, &modulus), Some(less_one));
                assert_eq!(inverse(&vec![0; length], &modulus), None);
                let mut two = one(length);
                two[length - 1] = 2;
                let half = inverse(&two, &modulus).unwrap();
                assert_eq!(product_modulo(&half, &two, &modulus), one(length));
            }
        }
        assert_eq!(inverse(&[1; 513], &[0xff; 513]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_product_is_one(
            length in 256usize..=512,
            seed in prop::collection::vec(any::<u8>(), 1024),
            zeros in 0usize..=512,
        ) {
            let modulus = odd(seed[..length].to_vec());
            // Some numbers are much shorter than the modulus.
            let mut number = seed[512..512 + length].to_vec();
            number.iter_mut().take(zeros.saturating_sub(256).max(1)).for_each(|byte| *byte = 0);
            match inverse(&number, &modulus) {
                Some(inverse) => prop_assert_eq!(product_modulo(&inverse, &number, &modulus), one(length)),
                // Then they have a common factor: so do the number and any multiple of it.
                None => {
                    let multiple = product_modulo(&number, &number, &modulus);
                    prop_assert_eq!(inverse(&multiple, &modulus), None);
                }
            }
        }
    }
}

//! What stands in for signatures in the simulator. **No cryptography.**

/// Bytes that depend on every byte of `parts` and on their lengths: different parts give different bytes, but for an accident of
/// one in 2⁶⁴. Whoever wants two inputs with the same bytes can find them; it takes a hundredth of the time of SHA-256.
pub(crate) fn scramble<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let hash = parts.iter().fold(0, |hash, part| {
        let (words, rest) = part.as_chunks::<8>();
        let hash =
            words.iter().fold(mix(hash, part.len() as u64), |h, word| mix(h, u64::from_le_bytes(*word)));
        rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
    });
    let mut bytes = [0; N];
    for (count, chunk) in bytes.chunks_mut(8).enumerate() {
        let word = mix(mix(hash, count as u64), 0).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    bytes
}

/// For every `word` a permutation of the hashes, and for every hash one of the words.
fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    product ^ product >> 29
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_bit_length_and_border_counts() {
        let bytes: [u8; 110] = std::array::from_fn(|i| i as u8);
        let mut seen = BTreeSet::from([scramble::<48>(&[&bytes])]);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(scramble(&[&other])), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(seen.insert(scramble(&[&bytes[..length]])), "{length} bytes");
            assert!(seen.insert(scramble(&[&bytes[..length], &bytes[length..]])), "two parts, from {length}");
        }
        assert!(seen.insert(scramble(&[&bytes, &[]])));
    }

    #[test]
    fn no_part_of_the_bytes_repeats_another() {
        let bytes: [u8; 64] = scramble(&[b"x"]);
        let words: BTreeSet<_> = bytes.chunks(8).collect();
        assert_eq!(words.len(), 8);
    }
}

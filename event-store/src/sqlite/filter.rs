//! A Bloom-like filter over 128-bit keys: says "certainly absent" for most keys that were never inserted, and never for
//! a key that was.

/// Sixteen bits a key and one cache line a question: about one false "maybe" in a thousand.
const BITS_PER_KEY: usize = 16;
const PROBES: u32 = 6;
const BLOCK_WORDS: usize = 8;

/// A filter of fixed capacity.
pub(super) struct Layer {
    words: Vec<[u64; BLOCK_WORDS]>,
    room: usize,
}

impl Layer {
    pub(super) fn new(capacity: usize) -> Self {
        let blocks = (capacity * BITS_PER_KEY).div_ceil(BLOCK_WORDS * 64).max(1);
        Self { words: vec![[0; BLOCK_WORDS]; blocks], room: capacity }
    }

    pub(super) fn insert(&mut self, key: u128) {
        let (block, mut bits) = self.place(key);
        for _ in 0..PROBES {
            self.words[block][(bits >> 6) as usize & 7] |= 1 << (bits & 63);
            bits >>= 9;
        }
        self.room = self.room.saturating_sub(1);
    }

    fn contains(&self, key: u128) -> bool {
        let (block, mut bits) = self.place(key);
        let block = &self.words[block];
        (0..PROBES).all(|_| {
            let set = block[(bits >> 6) as usize & 7] >> (bits & 63) & 1 == 1;
            bits >>= 9;
            set
        })
    }

    /// The block of a key and 54 further bits of it, six times nine.
    fn place(&self, key: u128) -> (usize, u64) {
        let one = mix(((key >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ mix(key as u64));
        let block = (u128::from(one) * self.words.len() as u128) >> 64;
        (block as usize, mix(one ^ 0x9E37_79B9_7F4A_7C15))
    }
}

/// Grows by layers, each twice the one before; the first has what the index held when the store was opened.
pub(super) struct Filter {
    base: Layer,
    layers: Vec<Layer>,
}

impl Filter {
    pub(super) fn new(base: Layer) -> Self {
        Self { base, layers: vec![Layer::new(65_536)] }
    }

    pub(super) fn insert(&mut self, key: u128) {
        let full = self.layers.last().is_none_or(|layer| layer.room == 0);
        if full {
            self.layers.push(Layer::new(65_536 << self.layers.len().min(12)));
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.insert(key);
        }
    }

    /// False: the key was certainly never inserted.
    pub(super) fn maybe(&self, key: u128) -> bool {
        self.layers.iter().any(|layer| layer.contains(key)) || self.base.contains(key)
    }
}

pub(super) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_little_else() {
        let mut filter = Filter::new(Layer::new(0));
        let key = |n: u64| u128::from(mix(n)) << 64 | u128::from(n);
        assert!(!filter.maybe(key(1)));
        for n in 0..200_000 {
            filter.insert(key(n));
        }
        assert!((0..200_000).all(|n| filter.maybe(key(n))));
        let wrong = (200_000..400_000).filter(|&n| filter.maybe(key(n))).count();
        assert!(wrong < 2_000, "{wrong} of 200,000");
    }
}

//! Choices that a seed repeats.

/// `xorshift64*`.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The choices of `seed`.
    pub fn new(seed: u64) -> Random {
        // Neighbouring seeds are to differ from the first choice on.
        Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    /// One of them.
    pub fn of<'a, T: ?Sized>(&mut self, choices: &'a [impl AsRef<T>]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize].as_ref()
    }
}

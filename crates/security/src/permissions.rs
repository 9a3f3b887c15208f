use std::fmt;

use crate::{Matrix, Permission};

const WORD: u32 = u64::BITS;

/// Some of the permissions of one [`Matrix`]: one bit each, however many there are.
#[derive(Clone)]
pub struct Permissions {
    matrix: &'static Matrix,
    words: Box<[u64]>,
}

impl Permissions {
    /// Those of the matrix that are named. Other names are none of this service's business, and count for nothing.
    pub fn named<'n>(matrix: &'static Matrix, names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut words = vec![0; matrix.permissions().len().div_ceil(WORD as usize)];
        for bit in names.into_iter().filter_map(|name| matrix.by_name(name)) {
            words[(bit / WORD) as usize] |= 1 << (bit % WORD);
        }
        Self { matrix, words: words.into_boxed_slice() }
    }

    /// `P` is among them. A permission of another matrix never is.
    pub fn contains<P: Permission>(&self) -> bool {
        std::ptr::eq(self.matrix, P::SET) && self.has(P::BIT)
    }

    /// Whose permissions they are.
    pub fn matrix(&self) -> &'static Matrix {
        self.matrix
    }

    /// Their names, in the order of the matrix.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.matrix.permissions().iter().zip(0..).filter(|(_, bit)| self.has(*bit)).map(|(name, _)| *name)
    }

    fn has(&self, bit: u32) -> bool {
        self.words.get((bit / WORD) as usize).is_some_and(|word| word >> (bit % WORD) & 1 == 1)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

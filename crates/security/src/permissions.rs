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
    /// Not one of them.
    pub fn none(matrix: &'static Matrix) -> Self {
        let words = matrix.permissions().len().div_ceil(WORD as usize);
        Self { matrix, words: vec![0; words].into_boxed_slice() }
    }

    /// Those of the matrix that are named. Other names are none of this service's business, and count for nothing.
    pub fn named<'n>(matrix: &'static Matrix, names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut named = Self::none(matrix);
        for bit in names.into_iter().filter_map(|name| matrix.by_name(name)) {
            if let Some(word) = named.words.get_mut((bit / WORD) as usize) {
                *word |= 1 << (bit % WORD);
            }
        }
        named
    }

    /// `P` is among them. A permission of another matrix never is.
    #[inline]
    pub fn contains<P: Permission>(&self) -> bool {
        std::ptr::eq(self.matrix, P::SET) && self.has(P::BIT)
    }

    /// The permission with this name is among them; a name that the matrix does not have never is.
    pub fn allows(&self, name: &str) -> bool {
        self.matrix.by_name(name).is_some_and(|bit| self.has(bit))
    }

    /// Whose permissions they are.
    pub fn matrix(&self) -> &'static Matrix {
        self.matrix
    }

    /// Their names, in the order of the matrix.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.bits().map(|(name, _)| name)
    }

    /// The first of theirs that the other has not.
    #[cfg(feature = "postgres")]
    pub(crate) fn first_beyond(&self, other: &Permissions) -> Option<&'static str> {
        self.bits().find(|(_, bit)| !other.has(*bit)).map(|(name, _)| name)
    }

    /// The first of theirs that only the system hands out.
    #[cfg(feature = "postgres")]
    pub(crate) fn first_of_system(&self) -> Option<&'static str> {
        self.bits().find(|(_, bit)| self.matrix.is_system(*bit)).map(|(name, _)| name)
    }

    /// Those of another set of the same matrix as well.
    pub(crate) fn add(&mut self, words: &[u64]) {
        for (mine, theirs) in self.words.iter_mut().zip(words) {
            *mine |= theirs;
        }
    }

    /// Without those that only the system hands out.
    pub(crate) fn drop_system(&mut self) {
        let (matrix, words) = (self.matrix, &mut self.words);
        for (word, first) in words.iter_mut().zip((0..).step_by(WORD as usize)) {
            for bit in (0..WORD).filter(|bit| matrix.is_system(first + bit)) {
                *word &= !(1 << bit);
            }
        }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    fn bits(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.matrix.permissions().iter().copied().zip(0..).filter(|(_, bit)| self.has(*bit))
    }

    #[inline]
    pub(crate) fn has(&self, bit: u32) -> bool {
        self.words.get((bit / WORD) as usize).is_some_and(|word| word >> (bit % WORD) & 1 == 1)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

//! A few numbers of one kind.

/// The measurements of one side, or the ratios of both. Never empty: a comparison has at least five rounds.
#[derive(Clone, Debug)]
pub struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// The middle one, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let half = self.sorted.len() / 2;
        if self.sorted.len().is_multiple_of(2) {
            f64::midpoint(self.sorted[half - 1], self.sorted[half])
        } else {
            self.sorted[half]
        }
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.sorted[0]
    }

    /// The greatest.
    pub fn max(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }
}

impl FromIterator<f64> for Sample {
    /// # Panics
    /// If there is no number.
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Sample {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        assert!(!sorted.is_empty(), "a sample needs a number");
        sorted.sort_by(f64::total_cmp);
        Sample { sorted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_ends_are_the_ends() {
        let odd: Sample = [3.0, 1.0, 10.0].into_iter().collect();
        assert_eq!((odd.min(), odd.median(), odd.max()), (1.0, 3.0, 10.0));
        let even: Sample = [4.0, 1.0, 2.0, 9.0].into_iter().collect();
        assert_eq!(even.median(), 3.0);
    }
}

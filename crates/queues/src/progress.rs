/// How far a running job is, in the handler's words.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// From 0 to 1.
    pub part: f64,
    /// A few words; 200 bytes are kept.
    pub note: String,
}

/// The longest note, in bytes.
const LONGEST_NOTE: usize = 200;

impl Progress {
    pub(crate) fn new(part: f64, note: &str) -> Self {
        let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
        Self { part, note: note[..note.floor_char_boundary(LONGEST_NOTE)].to_owned() }
    }
}

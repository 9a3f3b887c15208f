//! Bodies of requests and answers.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Refusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    const ALL: [Self; 2] = [Self::Protobuf, Self::Json];

    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let name = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
        Self::ALL.into_iter().find(|encoding| encoding.content_type().eq_ignore_ascii_case(name))
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    pub(super) fn decode<T: Message + Default + DeserializeOwned>(self, body: &[u8]) -> Result<T, Refusal> {
        let read = match self {
            Self::Protobuf => T::decode(body).map_err(|error| error.to_string()),
            Self::Json => serde_json::from_slice(body).map_err(|error| error.to_string()),
        };
        read.map_err(|reason| Refusal(400, format!("cannot read it as {}: {reason}", self.content_type())))
    }

    pub(super) fn encode<T: Message + Serialize>(self, message: &T) -> Vec<u8> {
        match self {
            Self::Protobuf => message.encode_to_vec(),
            // Our answers are numbers and texts, which can always be written.
            Self::Json => serde_json::to_vec(message).unwrap_or_default(),
        }
    }
}

/// The body as it was before it was packed, of at most so many bytes.
pub(super) fn unpack(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, Refusal> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip") => {
            let unpacked = gunzip(&body, most)
                .map_err(|error| Refusal(400, format!("cannot unpack it with gzip: {error}")))?;
            if unpacked.len() > most {
                return Err(Refusal(413, format!("more than {most} bytes when unpacked")));
            }
            Ok(unpacked.into())
        }
        Some(_) => Err(Refusal(415, "the encoding is neither gzip nor identity".to_owned())),
    }
}

/// Reads one byte beyond the bound, so that the caller sees that there is more.
fn gunzip(body: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(body).take(most as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

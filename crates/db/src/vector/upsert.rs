use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};
use shared_core::Id;

use super::collection::TenantCollection;
use super::embedder::embed;
use super::embedding::Embedding;
use crate::{Error, TenantTx};

/// Texts embedded and written at once. Larger calls are cut into pieces of whole ids where that is possible: 1,000 vectors
/// of 384 numbers make a message of 1.5 MB.
const AT_ONCE: usize = 1000;

/// What an upsert did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upserted {
    /// Texts that are there now.
    pub texts: u64,
    /// Contents that were new for this tenant, and embedded.
    pub embedded: u64,
}

impl Upserted {
    /// Texts whose content was there already, or came twice: nothing was embedded for them.
    pub fn reused(&self) -> u64 {
        self.texts - self.embedded
    }
}

type Hash = Vec<u8>;

/// One text: what it is about, its number there, its content.
struct Part {
    id: uuid::Uuid,
    number: i32,
    hash: Hash,
    text: String,
}

impl<T> TenantCollection<T> {
    /// Puts texts in, each with what it is about. Texts of the same id are its parts, in their order; they replace all
    /// parts that the id had. An id with one empty text keeps an empty part; to remove it, see [`remove`](Self::remove).
    ///
    /// Contents that the tenant has already are neither embedded nor written again. All texts of one id are replaced at
    /// once; a call of more than 1,000 texts is written in pieces, so that if it fails, whole ids are done or not done.
    ///
    /// # Errors
    /// [`Error::Embed`] if the embedder fails, and those of the database. Repeating the call is always safe.
    pub async fn upsert<S: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = (Id<T>, S)>,
    ) -> Result<Upserted, Error> {
        let mut by_id: BTreeMap<uuid::Uuid, Vec<String>> = BTreeMap::new();
        for (id, text) in texts {
            by_id.entry(id.as_uuid()).or_default().push(text.into());
        }
        let mut done = Upserted::default();
        let (mut piece, mut ids) = (Vec::new(), Vec::new());
        for (id, texts) in by_id {
            if !piece.is_empty() && piece.len() + texts.len() > AT_ONCE {
                self.write(&piece, &ids, &mut done).await?;
                (piece, ids) = (Vec::new(), Vec::new());
            }
            ids.push(id);
            piece.extend(self.parts(id, texts));
        }
        if !ids.is_empty() {
            self.write(&piece, &ids, &mut done).await?;
        }
        Ok(done)
    }

    /// Takes out everything about these ids, and the embeddings that nothing else needs.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn remove(&self, ids: impl IntoIterator<Item = Id<T>>) -> Result<(), Error> {
        let ids: Vec<uuid::Uuid> = ids.into_iter().map(|id| id.as_uuid()).collect();
        self.write(&[], &ids, &mut Upserted::default()).await
    }

    fn parts(&self, id: uuid::Uuid, texts: Vec<String>) -> impl Iterator<Item = Part> {
        let embedder = self.collection.inner.embedder.name().to_owned();
        texts.into_iter().zip(0..).map(move |(text, number)| {
            // A zero byte can't be stored in a text, and means nothing in one.
            let text = if text.contains('\0') { text.replace('\0', " ") } else { text };
            let hash = Sha256::new()
                .chain_update(&embedder)
                .chain_update([0])
                .chain_update(&text)
                .finalize()
                .to_vec();
            Part { id, number, hash, text }
        })
    }

    async fn write(&self, parts: &[Part], ids: &[uuid::Uuid], done: &mut Upserted) -> Result<(), Error> {
        let texts: BTreeMap<&Hash, &str> =
            parts.iter().map(|part| (&part.hash, part.text.as_str())).collect();
        let vectors = self.embed(&self.missing(&texts).await?, &texts).await?;
        done.texts += parts.len() as u64;
        done.embedded += vectors.len() as u64;
        match self.write_all(Beside::Others, parts, ids, vectors).await {
            // Another call dropped, as nobody's, a content that was there when this one looked.
            Err(error) if error.is_foreign_key_violation() => {
                let all: Vec<Hash> = texts.keys().map(|hash| (*hash).clone()).collect();
                self.write_all(Beside::Nobody, parts, ids, self.embed(&all, &texts).await?).await
            }
            written => written,
        }
    }

    /// The contents that the tenant does not have yet.
    async fn missing(&self, texts: &BTreeMap<&Hash, &str>) -> Result<Vec<Hash>, Error> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let sql = &self.collection.inner.sql;
        let hashes: Vec<Hash> = texts.keys().map(|hash| (*hash).clone()).collect();
        self.tenant.rows(&sql.text("MISSING", &sql.missing), &(hashes,)).await?.all()
    }

    async fn embed(
        &self,
        hashes: &[Hash],
        texts: &BTreeMap<&Hash, &str>,
    ) -> Result<Vec<(Hash, Embedding)>, Error> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        let texts =
            hashes.iter().map(|hash| texts.get(hash).copied().unwrap_or_default().to_owned()).collect();
        let vectors = embed(&self.collection.inner.embedder, texts).await?;
        Ok(hashes.iter().cloned().zip(vectors.into_iter().map(Embedding::from)).collect())
    }

    /// The index is filled by many calls at once. Which texts a tenant has is changed by one call at a time, in statements
    /// that see what the one before has done: so no content is dropped that another call needs, and none stays that
    /// nothing needs.
    async fn write_all(
        &self,
        beside: Beside,
        parts: &[Part],
        ids: &[uuid::Uuid],
        vectors: Vec<(Hash, Embedding)>,
    ) -> Result<(), Error> {
        let sql = &self.collection.inner.sql;
        let work = async |tx: &mut TenantTx| {
            match beside {
                Beside::Others => tx.rows(&sql.text("ENTER", &sql.enter), &()).await?,
                Beside::Nobody => tx.rows(&sql.text("ALONE", &sql.alone), &()).await?,
            };
            if !vectors.is_empty() {
                let (hashes, vectors): (Vec<Hash>, Vec<Embedding>) = vectors.into_iter().unzip();
                tx.rows(&sql.text("INSERT_EMBEDDINGS", &sql.insert_embeddings), &(hashes, vectors)).await?;
            }
            tx.rows(&sql.text("TURN", &sql.turn), &()).await?;
            let items = columns(parts, ids);
            let left: Vec<Hash> =
                tx.rows(&sql.text("REPLACE_ITEMS", &sql.replace_items), &items).await?.all()?;
            let kept: HashSet<&Hash> = parts.iter().map(|part| &part.hash).collect();
            let left: Vec<Hash> = left.into_iter().filter(|hash| !kept.contains(hash)).collect();
            if !left.is_empty() {
                tx.rows(&sql.text("DROP_ORPHANS", &sql.drop_orphans), &(left,)).await?;
            }
            Ok(())
        };
        self.tenant.tx(work).await
    }
}

/// Who else may write to the tenant's part of the collection meanwhile.
#[derive(Clone, Copy)]
enum Beside {
    /// The rule: only the change of the texts is one call's at a time.
    Others,
    /// The way out, for a call that others have crossed: it waits until it is alone, and then nothing can cross it.
    Nobody,
}

type Columns = (Vec<uuid::Uuid>, Vec<i32>, Vec<Hash>, Vec<String>, Vec<uuid::Uuid>);

fn columns(parts: &[Part], ids: &[uuid::Uuid]) -> Columns {
    (
        parts.iter().map(|part| part.id).collect(),
        parts.iter().map(|part| part.number).collect(),
        parts.iter().map(|part| part.hash.clone()).collect(),
        parts.iter().map(|part| part.text.clone()).collect(),
        ids.to_vec(),
    )
}

use shared_core::schema::Profile;
use shared_core::{Config as Schema, Secret};

use super::KeyRingConfig;
use crate::{Error, MasterKey, Sealer};

/// Seals what a developer's database holds; public, since it stands here.
const DEVELOPMENT: &str = "1:ZGV2ZWxvcG1lbnQga2V5OiBzZWFscyBub3RoaW5nISE=";

/// The keys of a program that issues tokens by a key ring in the database. Programs that only verify have none, so only issuers embed
/// it among their settings.
#[derive(Clone, Debug, Schema)]
pub struct IssuerKeys {
    /// What the program runs for.
    pub profile: Profile,
    /// The keys that seal private keys in the database, separated by commas: each a version, a colon, and the base64 of 32
    /// random bytes. The first one seals, all of them open. To rotate, add the new one at the end everywhere, then put it
    /// first.
    #[config(
        default = "1:ZGV2ZWxvcG1lbnQga2V5OiBzZWFscyBub3RoaW5nISE=",
        not_in_production = "the master key of development",
        expected = "VERSION:BASE64 with 32 bytes, such as `1:` and what `openssl rand -base64 32` prints"
    )]
    pub master_keys: Vec<MasterKey>,
    /// How the keys that sign come and go.
    pub ring: KeyRingConfig,
}

impl IssuerKeys {
    /// The sealer of these settings.
    ///
    /// # Errors
    /// [`Error::MasterKeys`] if there is none, or two of one version; [`Error::DevelopmentKey`] if the one of development is
    /// among them in profile `production`.
    pub fn sealer(&self) -> Result<Sealer, Error> {
        let development = MasterKey::new(&Secret::new(DEVELOPMENT))?;
        match self.profile == Profile::Production && self.master_keys.contains(&development) {
            true => Err(Error::DevelopmentKey),
            false => Sealer::new(self.master_keys.iter().cloned()),
        }
    }

    /// Opens the key ring of these settings, whose keys verify for as long as the longest of its tokens lives, leeway included.
    ///
    /// # Errors
    /// Those of [`sealer`](Self::sealer) and [`KeyRing::open`](crate::KeyRing::open).
    #[cfg(feature = "postgres")]
    pub async fn open(
        &self,
        db: shared_db::Db,
        longest_token: std::time::Duration,
    ) -> Result<crate::KeyRing, Error> {
        let mut config = self.ring.clone();
        config.verify_for = config.verify_for.max(longest_token);
        crate::KeyRing::open(db, self.sealer()?, config).await
    }
}

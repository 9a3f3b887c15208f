use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;

use crate::Origin;

pub(crate) type Lookup = Pin<Box<dyn Future<Output = Arc<[Origin]>> + Send>>;

/// Which origins may embed and call what a request asks for: a widget's tenant has its own list of domains.
///
/// The lookup is asked for each request, so it reads a cache and not the database. It answers an empty list for a tenant
/// that it does not know: nobody may embed then. Dropping the request drops the lookup.
#[derive(Clone)]
pub struct Embedders(Arc<dyn Fn(&Parts) -> Lookup + Send + Sync>);

impl Embedders {
    /// Asks this function. What a request says about its tenant chooses a list; it proves nothing, and needs not to, since
    /// the list only restricts browsers.
    pub fn new<F, Fut>(lookup: F) -> Self
    where
        F: Fn(&Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Arc<[Origin]>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(lookup(request))))
    }

    pub(crate) fn of(&self, request: &Parts) -> Lookup {
        (self.0)(request)
    }
}

impl fmt::Debug for Embedders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedders")
    }
}

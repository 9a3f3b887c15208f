//! What may be bound to the parameters that a statement declares.

use postgres_types::ToSql;

use crate::batch::Many;

/// A value that can be bound where a statement declares a `T`: the `T` itself, a reference to it, a `&str` for a
/// `String`, a slice for a `Vec`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be bound to a parameter of type `{T}`",
    label = "the statement declares `{T}` here"
)]
pub trait BindsTo<T>: ToSql + Sync {}

impl<T: ToSql + Sync> BindsTo<T> for T {}
impl<T: ToSql + Sync> BindsTo<T> for &T {}
impl BindsTo<String> for &str {}
impl BindsTo<Option<String>> for Option<&str> {}
impl<T: ToSql + Sync> BindsTo<Vec<T>> for &[T] {}

/// The parameters of one call, for a statement that declares `D`.
#[diagnostic::on_unimplemented(message = "`{Self}` are not the parameters `{D}` of this statement")]
pub trait Params<D>: Send + Sync {
    /// The values in their order.
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)>;

    /// Shows them one by one, up to the first error. Tuples make no list for it: of many rows each would cost an allocation.
    ///
    /// # Errors
    /// The one that `visit` returned.
    fn each<E>(&self, visit: impl FnMut(&(dyn ToSql + Sync)) -> Result<(), E>) -> Result<(), E> {
        self.refs().into_iter().try_for_each(visit)
    }
}

impl Params<()> for () {
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        Vec::new()
    }
}

macro_rules! params {
    ($($declared:ident $given:ident $at:tt),+) => {
        impl<$($declared, $given: BindsTo<$declared> + Send,)+> Params<($($declared,)+)> for ($($given,)+) {
            fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
                vec![$(&self.$at,)+]
            }

            fn each<E>(&self, mut visit: impl FnMut(&(dyn ToSql + Sync)) -> Result<(), E>) -> Result<(), E> {
                $(visit(&self.$at)?;)+
                Ok(())
            }
        }
    };
}
params!(D0 A0 0);
params!(D0 A0 0, D1 A1 1);
params!(D0 A0 0, D1 A1 1, D2 A2 2);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5, D6 A6 6);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5, D6 A6 6, D7 A7 7);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5, D6 A6 6, D7 A7 7, D8 A8 8);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5, D6 A6 6, D7 A7 7, D8 A8 8, D9 A9 9);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5, D6 A6 6, D7 A7 7, D8 A8 8, D9 A9 9, D10 A10 10);
params!(D0 A0 0, D1 A1 1, D2 A2 2, D3 A3 3, D4 A4 4, D5 A5 5, D6 A6 6, D7 A7 7, D8 A8 8, D9 A9 9, D10 A10 10, D11 A11 11);

/// The types that a statement declares for its parameters, for the test that compares them with the server.
pub trait Declared {
    /// For each parameter, whether the Rust type can be sent as the server's type.
    const ACCEPTS: &'static [fn(&postgres_types::Type) -> bool];
}

impl Declared for () {
    const ACCEPTS: &'static [fn(&postgres_types::Type) -> bool] = &[];
}

macro_rules! declared {
    ($($t:ident)+) => {
        impl<$($t: ToSql,)+> Declared for ($($t,)+) {
            const ACCEPTS: &'static [fn(&postgres_types::Type) -> bool] = &[$(<$t as ToSql>::accepts,)+];
        }
        impl<$($t: ToSql,)+> Declared for Many<($($t,)+)> {
            const ACCEPTS: &'static [fn(&postgres_types::Type) -> bool] = &[$(<Vec<$t> as ToSql>::accepts,)+];
        }
    };
}
declared!(A);
declared!(A B);
declared!(A B C);
declared!(A B C D);
declared!(A B C D E);
declared!(A B C D E F);
declared!(A B C D E F G);
declared!(A B C D E F G H);
declared!(A B C D E F G H I);
declared!(A B C D E F G H I J);
declared!(A B C D E F G H I J K);
declared!(A B C D E F G H I J K L);

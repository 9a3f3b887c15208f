//! Nothing: the manifest is what counts. Beside it every build of a dependency has the same features, so that of forty builds of
//! ours with one feature each none builds the dependencies again.

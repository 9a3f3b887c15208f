//! What every session of a pool begins with.

use crate::config::{Config, quoted};

/// A role and settings: start-up options of a connection, which survive `RESET ALL`; behind a pooler, whose
/// connections are somebody else's a moment later, the first words of each transaction.
pub(super) struct Session {
    role: String,
    settings: Vec<(String, String)>,
}

impl Session {
    pub(super) fn new(config: &Config, role: &str, search_path: &str, begin_with: &[(&str, &str)]) -> Self {
        let milliseconds = |duration: std::time::Duration| duration.as_millis().to_string();
        let common = [
            ("statement_timeout", milliseconds(config.statement_timeout)),
            ("idle_in_transaction_session_timeout", milliseconds(config.idle_in_transaction_timeout)),
            ("search_path", search_path.to_owned()),
        ];
        let own = begin_with.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let common = common.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self { role: role.to_owned(), settings: own.chain(common).collect() }
    }

    /// As start-up options, after those that the URL asks for.
    pub(super) fn options(&self, asked: Option<&str>) -> String {
        let mut options = asked.unwrap_or_default().to_owned();
        let role = ("role".to_owned(), self.role.clone());
        for (name, value) in std::iter::once(&role).chain(&self.settings) {
            options.push_str(&format!(" -c {name}={value}"));
        }
        options
    }

    /// As statements behind BEGIN. Names and values are the crate's own, but for the role, which is quoted.
    pub(super) fn lead_in(&self) -> String {
        // The connection of a dropped future is closed, and nothing is cancelled through a pooler: so the server has to look.
        const NOTICE: &str = "client_connection_check_interval = '500ms'";
        let mut lead_in = format!("; SET LOCAL ROLE {}; SET LOCAL {NOTICE}", quoted(&self.role));
        for (name, value) in &self.settings {
            // A list of names is a list of texts.
            let value = value.replace(',', "', '");
            lead_in.push_str(&format!("; SET LOCAL {name} = '{value}'"));
        }
        lead_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_one_list_at_the_start_and_behind_each_begin() {
        let mut config = Config::new("postgres://localhost/notes");
        config.search_schema = Some("archive".to_owned());
        let path = config.search_path().unwrap();
        let session = Session::new(&config, "shared_app", &path, &[]);
        assert!(session.options(None).ends_with(" -c search_path=archive,public"));
        assert!(session.lead_in().ends_with("; SET LOCAL search_path = 'archive', 'public'"));
    }
}

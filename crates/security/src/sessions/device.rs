use std::net::IpAddr;

/// Where a request comes from, as it is shown to the user in the list of sessions. It decides nothing.
#[derive(Clone, Debug, Default)]
pub struct Device {
    pub(super) user_agent: String,
    pub(super) address: Option<IpAddr>,
}

/// 255 bytes: what a browser says of itself has half of it.
const LONGEST_USER_AGENT: usize = 255;

impl Device {
    /// A program by the name that it gives itself, cut at 255 bytes and without control characters.
    pub fn new(user_agent: &str, address: Option<IpAddr>) -> Self {
        let mut user_agent: String =
            user_agent.chars().filter(|c| !c.is_control()).take(LONGEST_USER_AGENT).collect();
        user_agent.truncate(user_agent.floor_char_boundary(LONGEST_USER_AGENT));
        Self { user_agent, address }
    }
}

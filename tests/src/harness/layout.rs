//! The three shapes that Nexus runs in. The same tests pass on each.

/// What runs, and where the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `nexus up` on files.
    #[default]
    OneProcessSqlite,
    /// `nexus up` on JetStream.
    OneProcessJetStream,
    /// `nexus serve`, a process a role, on JetStream, with TLS between them.
    SevenProcessesJetStream,
}

/// The variable that names the layout for tests that do not choose one.
const VARIABLE: &str = "NEXUS_TEST_LAYOUT";

impl Layout {
    /// The one that the environment names; files in one process unless it names any.
    ///
    /// # Panics
    /// When it names none of them: testing another one than meant would prove nothing.
    #[must_use]
    pub fn of_environment() -> Self {
        let named = std::env::var_os(VARIABLE);
        match named.as_deref().and_then(std::ffi::OsStr::to_str) {
            None | Some("" | "sqlite") => Self::OneProcessSqlite,
            Some("jetstream") => Self::OneProcessJetStream,
            Some("seven") => Self::SevenProcessesJetStream,
            Some(_) => unreachable_layout(),
        }
    }
}

#[expect(clippy::panic, reason = "a test that runs on another layout than meant proves nothing")]
fn unreachable_layout() -> Layout {
    panic!("{VARIABLE} takes sqlite, jetstream or seven")
}

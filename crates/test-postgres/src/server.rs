//! One server: made, started, stopped.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{StartError, programs};

/// Who may do everything in it.
pub(crate) const OWNER: &str = "nexus";
const READY: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Runs a server until somebody writes a line, or nobody can any more because the process that
/// started it is gone; then, unless the line says otherwise, removes the folder.
const WATCH: &str = "folder=$1; shift; \"$@\" >>\"$folder/log\" 2>&1 & server=$!; read -r word; \
    kill -QUIT $server; wait $server; [ \"$word\" = keep ] || rm -rf \"$folder\"";

/// A server of PostgreSQL that ends with this value, at the latest with the process.
pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// Whom to be, when this process is root.
    user: Option<(u32, u32)>,
    running: Mutex<Option<(Child, ChildStdin)>>,
}

impl Server {
    /// A new one with a socket in a folder of its own and no port.
    ///
    /// # Errors
    /// [`StartError`] says what is missing or what failed.
    pub fn start() -> Result<Self, StartError> {
        let programs = programs::folder()?;
        let folder = tempfile::Builder::new().prefix("pg").tempdir()?;
        // Whoever made the folder is who we are.
        let user = match folder.path().metadata()?.uid() {
            0 => Some(another_user()?),
            _ => None,
        };
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group))?;
        }
        let server = Self { folder: folder.keep(), programs, user, running: Mutex::default() };
        let mut make = server.command("initdb");
        make.arg("--pgdata").arg(server.data()).args(["--username", OWNER, "--auth", "trust"]);
        // Sorts unlike SQLite on purpose: what must not depend on it, must not.
        make.args(["--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8"]);
        programs::run(&mut make)?;
        server.run()?;
        Ok(server)
    }

    /// Where its socket lies.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// Ends it at once, as a crash does; what it holds stays.
    pub fn stop(&self) {
        self.end("keep");
    }

    /// Starts it again over what it held.
    ///
    /// # Errors
    /// [`StartError`] when it does not come.
    pub fn run(&self) -> Result<(), StartError> {
        let postgres = self.programs.join("postgres");
        let mut watch = as_user(Command::new("sh"), self.user, &self.folder);
        watch.args(["-c", WATCH, "sh"]).arg(&self.folder).arg(postgres).arg("-D").arg(self.data());
        watch.arg("-k").arg(&self.folder).args(["-c", "listen_addresses="]);
        // Nobody needs this data after a crash of the machine.
        for setting in ["fsync=off", "full_page_writes=off", "max_connections=300"] {
            watch.args(["-c", setting]);
        }
        watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = watch.spawn()?;
        let line = child.stdin.take().ok_or_else(|| std::io::Error::other("it has no input"))?;
        *self.running() = Some((child, line));
        self.ready()
    }

    fn ready(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + READY;
        loop {
            let mut ask = self.command("pg_isready");
            let answered = programs::run(ask.arg("--host").arg(&self.folder));
            if answered.is_ok() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let program = "postgres".to_owned();
                return answered.map_err(|_| StartError::Failed { program, said: log });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn end(&self, word: &str) {
        let Some((mut child, mut line)) = self.running().take() else { return };
        // It may have ended by itself.
        drop(writeln!(line, "{word}"));
        drop(line);
        drop(child.wait());
    }

    fn command(&self, program: &str) -> Command {
        as_user(Command::new(self.programs.join(program)), self.user, &self.folder)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<(Child, ChildStdin)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("remove");
        // One that never ran is removed here.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn as_user(mut command: Command, user: Option<(u32, u32)>, folder: &Path) -> Command {
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command.current_dir(folder);
    command
}

/// A user whom PostgreSQL runs as when root asks for it.
fn another_user() -> Result<(u32, u32), StartError> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let named = |name: &str| {
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields.find_map(|fields| match fields.as_slice() {
            [user, _, uid, gid, ..] if *user == name => {
                Some((uid.parse().ok()?, gid.parse().ok()?))
            }
            _ => None,
        })
    };
    named("postgres").or_else(|| named("nobody")).ok_or(StartError::OnlyRoot)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_server_can_be_stopped_and_started_and_leaves_nothing() {
        let server = Server::start().unwrap();
        let socket = server.socket().join(".s.PGSQL.5432");
        UnixStream::connect(&socket).unwrap();
        server.stop();
        UnixStream::connect(&socket).unwrap_err();
        server.run().unwrap();
        UnixStream::connect(&socket).unwrap();
        let folder = server.socket().to_owned();
        drop(server);
        assert!(!folder.exists());
    }
}

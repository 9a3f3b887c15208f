//! A NATS client as small as the tests need it: one question at a time.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    questions: u64,
}

/// What a server says to whoever connects, before any login.
pub(crate) fn greeting(url: &str) -> io::Result<String> {
    let address = url.rsplit_once('@').expect("a login").1;
    let mut line = String::new();
    BufReader::new(TcpStream::connect(address)?).read_line(&mut line)?;
    Ok(line)
}

impl Client {
    pub(crate) fn connect(url: &str) -> io::Result<Client> {
        let (login, address) = url.strip_prefix("nats://").expect("no TLS").split_once('@').expect("a login");
        let (user, password) = login.split_once(':').expect("a password");
        let mut client = Client { stream: BufReader::new(TcpStream::connect(address)?), questions: 0 };
        client.patience(Duration::from_secs(10));
        client.send(&format!(
            "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\",\"headers\":true,\"no_responders\":true}}\r\nPING\r\n"
        ))?;
        while client.line()? != "PONG" {}
        client.send("SUB answers.* 1\r\n")?;
        Ok(client)
    }

    /// How long it waits for an answer.
    pub(crate) fn patience(&mut self, patience: Duration) {
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("a socket");
    }

    /// Asks, and returns the answer. An error of the server's is one here too, and so is that nobody answers.
    pub(crate) fn request(&mut self, subject: &str, payload: &str) -> io::Result<String> {
        self.questions += 1;
        let inbox = format!("answers.{}", self.questions);
        self.send(&format!("PUB {subject} {inbox} {}\r\n{payload}\r\n", payload.len()))?;
        loop {
            let line = self.line()?;
            let words: Vec<_> = line.split(' ').collect();
            if words[0] == "PING" {
                self.send("PONG\r\n")?;
            } else if words[0].ends_with("MSG") {
                let size: usize = words.last().expect("a size").parse().expect("a size");
                let mut payload = vec![0; size + 2];
                self.stream.read_exact(&mut payload)?;
                let text = String::from_utf8_lossy(&payload[..size]).into_owned();
                let failed = words[0] == "HMSG" || text.contains("\"error\":");
                if words[1] == inbox {
                    return if failed { Err(io::Error::other(text)) } else { Ok(text) };
                }
            }
        }
    }

    /// Makes a stream in a file, for the subjects below its name.
    pub(crate) fn create_stream(&mut self, name: &str) {
        let settings = format!("{{\"name\":\"{name}\",\"subjects\":[\"{name}.>\"],\"storage\":\"file\"}}");
        self.request(&format!("$JS.API.STREAM.CREATE.{name}"), &settings).expect("a stream");
    }

    pub(crate) fn has_stream(&mut self, name: &str) -> bool {
        let names = self.request("$JS.API.STREAM.NAMES", "").expect("names");
        names.contains(&format!("\"{name}\""))
    }

    /// The subject of the message with a number.
    pub(crate) fn subject(&mut self, stream: &str, number: u64) -> String {
        let asked = format!("{{\"seq\":{number}}}");
        let message = self.request(&format!("$JS.API.STREAM.MSG.GET.{stream}"), &asked).expect("a message");
        field(&message, "subject").to_owned()
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// The value of a name in JSON.
pub(crate) fn field<'a>(json: &'a str, name: &str) -> &'a str {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect(name);
    rest.split([',', '}']).next().expect("a value").trim_matches('"')
}

//! stdout and stderr of services: lines of the log, at the rate of the service, as with plugins.

use super::Shared;
use crate::sandbox::wasi::{Console, ConsoleStream};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// What a guest may write in one go, bytes. WASI's own example figure.
const PERMIT: usize = 4096;

/// What one guest prints on.
pub(super) struct Paper(Arc<Sheet>);

struct Sheet {
    shared: Arc<Shared>,
    /// A lock because the bindings want what can be shared; nobody else ever holds it.
    console: Mutex<Console>,
}

/// One of the two ways to print.
#[derive(Clone)]
pub(super) struct Printer {
    sheet: Arc<Sheet>,
    stream: ConsoleStream,
}

impl Paper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Sheet { shared, console: Mutex::default() }))
    }

    pub(super) fn out(&self) -> Printer {
        Printer { sheet: Arc::clone(&self.0), stream: ConsoleStream::Out }
    }

    pub(super) fn err(&self) -> Printer {
        Printer { sheet: Arc::clone(&self.0), stream: ConsoleStream::Err }
    }
}

impl Drop for Sheet {
    /// A guest's last words may lack a newline.
    fn drop(&mut self) {
        self.console.get_mut().unwrap_or_else(PoisonError::into_inner).flush(&self.shared.log);
    }
}

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    /// Of WASI 0.1 and 0.3, which nothing here speaks.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut console = self.sheet.console.lock().unwrap_or_else(PoisonError::into_inner);
        console.print(&self.sheet.shared.log, self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}

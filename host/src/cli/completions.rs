//! `portcullis completions SHELL` and `portcullis man`: what shells and man(1) know of the commands, made from the commands themselves.

use clap::CommandFactory;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Completions {
    /// The shell whose script is printed
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn execute(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "portcullis", &mut script);
        super::say(&String::from_utf8_lossy(&script), "");
        ExitCode::SUCCESS
    }
}

#[derive(clap::Args)]
pub struct Man {
    /// Write a page for each command into this directory; unless given, portcullis(1) is printed
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub fn execute(self) -> ExitCode {
        let command = super::Arguments::command();
        let done = match self.out {
            Some(folder) => std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(command, &folder)),
            None => print(command),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn print(command: clap::Command) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    super::say(&String::from_utf8_lossy(&page), "");
    Ok(())
}

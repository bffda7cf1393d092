//! Pipes, which have no size and may be silent. (Tables.)

use std::process::Command;
use std::time::Duration;

use super::*;

fn pipe(directory: &TempDir, name: &str) -> PathBuf {
    let path = directory.path().join(name);
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let directory = tempdir().unwrap();
    let text = "é word\n".repeat(30_000);
    for name in ["a.txt", "a.gz", "a.zst"] {
        let path = pipe(&directory, name);
        let stored = stored(name, text.as_bytes());
        thread::scope(|scope| {
            scope.spawn(|| fs::write(&path, &stored).unwrap());
            let setting = Setting::new();
            let input = setting
                .input(std::slice::from_ref(&path), options(1000))
                .unwrap();
            let (mut reader, mut read) = (input.reader(), String::new());
            while let Some(block) = reader.next_block().unwrap() {
                block
                    .for_each_text(|text| {
                        read += text;
                        Ok(())
                    })
                    .unwrap();
            }
            assert_eq!((read == text, input.total_bytes()), (true, 0));
        });
    }
}

#[test]
fn a_silent_pipe_keeps_no_thread_from_being_interrupted() {
    let directory = tempdir().unwrap();
    let path = pipe(&directory, "a");
    let setting = Setting::new();
    let input = setting.input(&[path], options(1000)).unwrap();
    thread::scope(|scope| {
        let read = || input.reader().next_block().map(|block| block.is_some());
        let readers = [(); 3].map(|()| scope.spawn(read));
        thread::sleep(Duration::from_millis(30));
        setting.watch.interrupt();
        let ends = readers.map(|reader| reader.join().unwrap());
        assert!(
            ends.iter()
                .any(|end| matches!(end, Err(TrainError::Interrupted)))
        );
        assert!(ends.iter().all(|end| !matches!(end, Ok(true))));
    });
}

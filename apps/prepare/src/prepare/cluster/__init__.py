"""`prepare` on many processes or machines: the bytes of one process, whatever did the work.

`run.run` cuts the text into shares, writes them down as a plan, and has an engine of datatrove's do
the tasks of each stage; `status.read_status` tells how far a run is.

    plan       which bytes of which files are whose share       cut.py, plan.py
    count      a share -> a file of pretoken counts             counting.py; text.py, documents.py
    merge      up to 32 such files -> one, as often as needed   counting.py
    learn      the counts -> tokenizer.json                     counting.py
    encode     a share -> a token file                          encoding.py; text.py, documents.py
    finish     all records -> manifest.json                     encoding.py

Why the result does not depend on the shares: they are cut only behind a document's separator,
which no pretoken crosses, so counts of shares add up to those of the whole, and ids of shares, one
after the other, are its ids.
"""

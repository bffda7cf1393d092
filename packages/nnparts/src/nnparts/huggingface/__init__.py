"""Our models as those of Hugging Face's `transformers`, and theirs as ours.

`config.py` and `rope_fields.py` translate a `config.json`, `names.py` the weights, `files.py` reads
and writes a directory; `save.py` and `load.py` put them together. `transformers` isn't needed.
"""

from nnparts.huggingface.load import from_huggingface
from nnparts.huggingface.save import to_huggingface

__all__ = ["from_huggingface", "to_huggingface"]

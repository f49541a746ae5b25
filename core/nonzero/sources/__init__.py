"""Where examples come from: files as blocks of text, read ahead, parsed by several threads, and checked."""

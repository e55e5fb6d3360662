// Nothing to call: what is here is for the linker (StaticStart.c, LibraryStart.c).

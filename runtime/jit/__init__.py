"""Machine code at run time: LLVM IR builder, compiler, object code cache, CPU features."""

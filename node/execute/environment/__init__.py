"""The environments of steps: programs and libraries as content, made by a block's author and the same at every site."""

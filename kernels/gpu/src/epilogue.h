/*
 * epilogue.h: what follows an operator. EPILOGUE is statements on `value`, the element `at` of the
 * output, with the kernel's own p.numbers and buffers e0 and e1 of the output's shape.
 */
#ifdef EPILOGUE_OPERANDS
#if EPILOGUE_OPERANDS == 0
#define EPILOGUE_BUFFERS
#elif EPILOGUE_OPERANDS == 1
#define EPILOGUE_BUFFERS INPUT(COMPUTED) e0,
#else
#define EPILOGUE_BUFFERS INPUT(COMPUTED) e0, INPUT(COMPUTED) e1,
#endif
#endif

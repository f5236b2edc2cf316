#define Py_LIMITED_API 0x030A0000
#include <Python.h>

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "silent_cpu", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_silent_cpu(void) { return PyModule_Create(&module); }

export class A extends HayPlugin {}
